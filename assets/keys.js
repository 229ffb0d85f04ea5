/* The keyboard: what the keys of `explorer/keys.py` do. They work wherever nothing is being typed.
 *
 * Walking moves a cursor from box to box, along the edges or to a neighbour; Enter selects what is under it.
 */

(function () {
    "use strict";

    const graph = window.prunescope.graph;
    const keys = { does: new Map(), cursor: null };

    function learn(table) {
        keys.does = new Map((table || []).map(({ press, does }) => [press, does]));
    }

    function click(id) {
        const button = document.getElementById(id);
        if (button && !button.disabled) {
            button.click();
        }
    }

    function tab(value) {
        window.dash_clientside.set_props("panel-tabs", { value });
    }

    /* ---- walking ---------------------------------------------------------------------------------------- */

    function at() {
        const view = graph.look();
        return view.boxes.get(keys.cursor) || view.boxes.get(view.home.get(view.selection.layer));
    }

    function nearest(boxes, from) {
        const far = (box) => Math.hypot(box.x - from.x, box.y - from.y);
        return boxes.reduce((best, box) => (best && far(best) <= far(box) ? best : box), null);
    }

    /* Along the edges, the nearest end first; from nowhere to the first box. */
    function along(from, to) {
        const view = graph.look();
        const here = at();
        if (!here) {
            go([...view.boxes.values()][0]);
            return;
        }
        const ends = view.routes.filter((route) => route[from] === here.id).map((route) => view.boxes.get(route[to]));
        go(nearest(ends, here));
    }

    function beside(sign) {
        const here = at();
        const near = here && [...graph.look().boxes.values()].filter((box) => {
            const level = Math.abs(box.y - here.y) < (box.height + here.height) / 2 + 30;
            return level && sign * (box.x - here.x) > 1;
        });
        go(here && nearest(near, here));
    }

    function go(box) {
        if (!box) {
            return;
        }
        keys.cursor = box.id;
        graph.show(box.module || box.id);
        graph.paint();
        const what = box.module ? "module, Enter opens it" : [box.kind, box.detail].filter(Boolean).join(", ");
        graph.announce(`${box.module || box.id}: ${what}`);
    }

    function choose() {
        const here = at();
        if (here && here.module) {
            graph.toggle(here.module);
        } else if (here) {
            graph.select(here.id, graph.nextSide(here.id));
        }
    }

    function leave() {
        keys.cursor = null;
        graph.clear();
        graph.paint();
    }

    function group(by) {
        const { groups, selection } = graph.look();
        const count = groups.groups.length;
        if (count) {
            const from = selection.group === null ? (by > 0 ? -1 : 0) : selection.group;
            graph.focusGroup((from + by + count) % count);
        }
    }

    function paintCursor(ink, boxes, view) {
        const here = boxes.find((box) => box.id === keys.cursor);
        if (here) {
            graph.pen.outline(ink, here, view.colours.accent, 3, 5);
        }
    }

    /* ---- the table -------------------------------------------------------------------------------------- */

    const ACTIONS = {
        search: () => document.getElementById("search").focus(),
        down: () => along("source", "target"),
        up: () => along("target", "source"),
        left: () => beside(-1),
        right: () => beside(1),
        choose,
        leave,
        before: () => group(-1),
        after: () => group(1),
        open: () => click("graph-open-level"),
        close: () => click("graph-close-level"),
        fitWidth: graph.fitWidth,
        fitAll: graph.fitAll,
        zoomIn: graph.zoomIn,
        zoomOut: graph.zoomOut,
        coloured: () => click("view-coloured"),
        shaped: () => click("view-shaped"),
        plain: () => click("view-plain"),
        mapped: () => click("view-mapped"),
        group: () => tab("group"),
        importance: () => tab("importance"),
        cut: () => tab("cut"),
        compare: () => tab("compare"),
        matrix: () => tab("matrix"),
        apply: () => click("apply"),
        undo: () => click("undo"),
        redo: () => click("redo"),
        scheme: () => click("scheme-toggle"),
        help: () => click("help"),
    };

    const TAKEN = "input:not([type=checkbox], [type=radio]), textarea, select, [role=dialog], [role=slider], [role=tree], [role=listbox], [contenteditable]";
    const PRESSED = "button, a, summary, [role=button]"; // these answer Enter themselves
    const WALKED = "[role=tab], [type=radio]"; // and these the arrows too

    /** The graph behind an open dialog hears no key, wherever the focus is. */
    function covered() {
        return document.querySelector("[aria-modal=true]") !== null;
    }

    /** Whether what has the focus answers the key itself. */
    function answers({ key, target }) {
        const walks = key.startsWith("Arrow") && target.closest(WALKED);
        return target.closest(TAKEN) || walks || (key === "Enter" && target.closest(PRESSED));
    }

    function press(event) {
        const action = ACTIONS[keys.does.get(event.key)];
        if (!action || answers(event) || covered() || event.ctrlKey || event.metaKey || event.altKey) {
            return;
        }
        event.preventDefault();
        action();
    }

    document.addEventListener("keydown", press);
    graph.painter(paintCursor, true);
    graph.when("picture", (view) => {
        keys.cursor = view.boxes.has(keys.cursor) ? keys.cursor : null;
    });
    /** Close the dialog and begin the tour. */
    function again(clicks) {
        if (!clicks) {
            return window.dash_clientside.no_update;
        }
        window.dash_clientside.tour.again();
        return false;
    }

    window.dash_clientside = Object.assign({}, window.dash_clientside, { keys: { learn, help: () => true, again } });
})();
