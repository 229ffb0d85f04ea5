/* The layers as a tree of modules: the graph for the keyboard and for screen readers.
 *
 * It shows what the graph shows: a module that is opened in one is open in the other. While something is searched it
 * lists what was found instead. Arrows move, right and left open and close, Enter selects.
 */

(function () {
    "use strict";

    const HOST = "layer-tree";
    const tree = { rows: [], found: null, focused: null, chosen: null, shown: false };

    function host() {
        return document.getElementById(HOST);
    }

    function parentOf(path) {
        return path.slice(0, Math.max(path.lastIndexOf("."), 0));
    }

    /* One row for every box and opened module of the picture, in its order, the inner ones under the outer ones. */
    function rowsOf(view) {
        const rows = [];
        const open = new Set();
        const enter = (path) => {
            if (!path || open.has(path) || !view.frames.has(path)) {
                return;
            }
            enter(parentOf(path));
            open.add(path);
            rows.push({ id: `frame:${path}`, module: path, label: view.frames.get(path).label, depth: depth(path), open: true });
        };
        for (const box of view.boxes.values()) {
            enter(box.module ? parentOf(box.module) : box.within);
            const level = depth(box.module ? parentOf(box.module) : box.within) + 1;
            rows.push({ id: box.id, module: box.module, label: box.label, kind: box.kind, detail: box.detail, depth: level });
        }
        return rows;
    }

    function depth(path) {
        return path ? path.split(".").length : 0;
    }

    function foundRows(view) {
        return tree.found.map((id) => ({ id, label: id, kind: "", detail: "", depth: 1, box: view.boxes.get(id) }));
    }

    function build(view) {
        if (!host() || !tree.shown) {
            return;
        }
        tree.rows = tree.found ? foundRows(view) : rowsOf(view);
        host().replaceChildren(...(tree.rows.length ? tree.rows.map(item) : [nothing()]));
        mark();
        if (tree.focused && host().dataset.busy) {
            delete host().dataset.busy;
            focus(tree.rows.findIndex((row) => row.id === tree.focused || row.module === moduleOf(tree.focused)));
        }
    }

    function moduleOf(id) {
        return id.slice(id.indexOf(":") + 1);
    }

    function nothing() {
        const made = document.createElement("div");
        made.className = "empty";
        made.textContent = "No layer fits.";
        return made;
    }

    function item(row, at) {
        const made = document.createElement("div");
        made.className = "tree-item";
        made.setAttribute("role", "treeitem");
        made.setAttribute("aria-level", row.depth);
        made.setAttribute("tabindex", at === 0 ? "0" : "-1");
        made.style.paddingLeft = `${6 + 13 * Math.max(row.depth - 1, 0)}px`;
        made.dataset.at = at;
        if (row.module) {
            made.setAttribute("aria-expanded", String(Boolean(row.open)));
        }
        const name = document.createElement("b");
        name.textContent = row.label;
        const detail = document.createElement("span");
        detail.textContent = [row.module ? "" : row.kind, row.detail].filter(Boolean).join(" · ");
        made.append(name, detail);
        return made;
    }

    function mark(selection) {
        tree.chosen = selection === undefined ? tree.chosen : selection && selection.layer;
        for (const made of host() ? host().querySelectorAll("[data-at]") : []) {
            const chosen = tree.rows[made.dataset.at].id === tree.chosen;
            made.classList.toggle("chosen", chosen);
            made.setAttribute("aria-selected", String(chosen));
            if (chosen) {
                made.scrollIntoView({ block: "nearest" });
            }
        }
    }

    function search(found) {
        tree.found = found;
        build(window.prunescope.graph.look());
    }

    function view(which) {
        tree.shown = which === "layers";
        host().hidden = !tree.shown;
        document.querySelector(".side-groups").hidden = tree.shown;
        build(window.prunescope.graph.look());
    }

    /* ---- what is done in it ----------------------------------------------------------------------------- */

    function focus(at) {
        const items = host().querySelectorAll("[data-at]");
        if (!items[at]) {
            return;
        }
        items.forEach((made) => made.setAttribute("tabindex", "-1"));
        items[at].setAttribute("tabindex", "0");
        items[at].focus();
        tree.focused = tree.rows[at].id;
    }

    function choose(row) {
        if (row.module) {
            host().dataset.busy = "true";
            tree.focused = row.id;
            window.prunescope.graph.toggle(row.module);
        } else {
            window.prunescope.graph.focus({ layer: row.id, side: null, group: null });
        }
    }

    function press(event) {
        const made = event.target.closest("#layer-tree [data-at]");
        if (!made) {
            return;
        }
        const at = Number(made.dataset.at);
        const row = tree.rows[at];
        const actions = {
            ArrowDown: () => focus(at + 1),
            ArrowUp: () => focus(at - 1),
            Home: () => focus(0),
            End: () => focus(tree.rows.length - 1),
            ArrowRight: () => (row.module && !row.open ? choose(row) : focus(at + 1)),
            ArrowLeft: () => (row.open ? choose(row) : focus(tree.rows.findLastIndex((r, n) => n < at && r.depth < row.depth))),
            Enter: () => choose(row),
            " ": () => choose(row),
        };
        if (actions[event.key]) {
            event.preventDefault();
            event.stopPropagation();
            actions[event.key]();
        }
    }

    document.addEventListener("keydown", press, { capture: true });
    document.addEventListener("click", (event) => {
        const made = event.target.closest("#layer-tree [data-at]");
        if (made) {
            focus(Number(made.dataset.at));
            choose(tree.rows[made.dataset.at]);
        }
    });

    window.prunescope.graph.when("picture", build);
    window.prunescope = Object.assign({}, window.prunescope, { tree: { search } });
    window.dash_clientside = Object.assign({}, window.dash_clientside, { tree: { view, mark } });
})();
