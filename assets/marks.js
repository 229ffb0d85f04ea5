/* What the graph shows on its boxes and edges besides text and highlight: groups in colour, layers that the search has
 * found, shapes on the edges, widths before and after a cut. Each is a painter of the graph, switched in the View menu.
 */

(function () {
    "use strict";

    const graph = window.prunescope.graph;
    const { write, roundRect, outline, enlarged, FONT } = graph.pen;
    const GOLDEN = 137.508; // degrees: neighbours in number are far apart in hue
    const MOST_STRIPES = 8;
    const state = { coloured: false, shaped: false, found: new Set(), current: null, widths: {}, planned: null };

    /* ---- groups in colour ------------------------------------------------------------------------------- */

    function isDark() {
        return document.documentElement.getAttribute("data-mantine-color-scheme") === "dark";
    }

    function colourOf(group) {
        return `hsl(${(group * GOLDEN) % 360} 62% ${isDark() ? 64 : 38}%)`;
    }

    /* The groups of a box's layers, each once: those of an output side first. */
    function groupsOf(box, view) {
        const sides = box.layers.map((id) => view.groups.layers[id] || {});
        const found = [...sides.map((side) => side.out), ...sides.map((side) => side.in)];
        return [...new Set(found.filter((group) => group !== null && group !== undefined))];
    }

    function paintGroups(ink, boxes, view) {
        for (const box of state.coloured ? boxes : []) {
            const groups = groupsOf(box, view).filter((group) => !view.groups.groups[group].lock);
            if (groups.length) {
                box.module ? stripes(ink, box, groups) : band(ink, box, groups[0], view);
            }
        }
    }

    /* A ring in the group's colour, with its number: colour is never alone. */
    function band(ink, box, group, view) {
        const colour = colourOf(group);
        outline(ink, box, colour, 2.5, 0);
        const size = enlarged();
        const font = `700 ${10 * size}px ${FONT}`;
        ink.font = font;
        const width = ink.measureText(String(group)).width + 10 * size;
        const [left, y] = [box.x - box.width / 2 - 4, box.y - box.height / 2];
        ink.fillStyle = colour;
        roundRect(ink, left, y - 7.5 * size, width, 15 * size, 7.5 * size);
        ink.fill();
        write(ink, String(group), left + width / 2, y + 0.5, font, view.colours["box-text"], "center");
    }

    function stripes(ink, box, groups) {
        const shown = groups.slice(0, MOST_STRIPES);
        const width = (box.width - 20) / shown.length;
        shown.forEach((group, at) => {
            ink.fillStyle = colourOf(group);
            ink.fillRect(box.x - box.width / 2 + 10 + at * width, box.y + box.height / 2 - 5, width - 1, 4);
        });
    }

    /* ---- found by the search ---------------------------------------------------------------------------- */

    function paintFound(ink, boxes, view) {
        for (const box of state.found.size ? boxes : []) {
            const count = box.layers.filter((id) => state.found.has(id)).length;
            if (!count) {
                continue;
            }
            ink.setLineDash([6, 4]);
            outline(ink, box, view.colours.found, box.layers.includes(state.current) ? 4 : 2, 3);
            ink.setLineDash([]);
            if (box.module) {
                const text = String(count);
                const size = enlarged();
                const [x, y] = [box.x + box.width / 2, box.y - box.height / 2];
                ink.fillStyle = view.colours.found;
                roundRect(ink, x - 22 * size, y - 8 * size, 22 * size, 16 * size, 8 * size);
                ink.fill();
                write(ink, text, x - 11 * size, y + 0.5, `700 ${10 * size}px ${FONT}`, view.colours["box-text"], "center");
            }
        }
    }

    /* ---- shapes on the edges ---------------------------------------------------------------------------- */

    function paintShapes(ink, boxes, view) {
        if (!state.shaped || view.cy.zoom() < 0.4) {
            return;
        }
        const near = new Set(boxes.map((box) => box.id));
        for (const route of view.routes) {
            if (!route.shape || !near.has(route.target)) {
                continue;
            }
            const [x, y] = route.points[route.points.length - 1];
            const font = `10px ${FONT}`;
            ink.font = font;
            const width = ink.measureText(route.shape).width + 6;
            ink.fillStyle = view.colours.canvas;
            ink.globalAlpha = 0.85;
            ink.fillRect(x + 5, y - 21, width, 12);
            ink.globalAlpha = 1;
            write(ink, route.shape, x + 8, y - 14.5, font, view.colours.muted);
        }
    }

    /* ---- widths before and after ------------------------------------------------------------------------ */

    /* "64 → 32" on the lower border: what a planned cut would leave, else what is left of the original. */
    function paintWidths(ink, boxes, view) {
        const widths = state.planned || state.widths;
        const zoom = view.cy.zoom();
        if (zoom < 0.3) {
            return;
        }
        for (const box of boxes) {
            const pair = !box.module && widths[box.id];
            if (pair && pair[0] !== pair[1]) {
                pill(ink, box, `${pair[0]} → ${pair[1]}`, pair[1] / pair[0], view);
            }
        }
    }

    function pill(ink, box, text, left, view) {
        const { colours } = view;
        const font = `600 10.5px ${FONT}`;
        ink.font = font;
        const width = ink.measureText(text).width + 14;
        const [x, y] = [box.x - width / 2, box.y + box.height / 2 - 6]; // between the marks of the output side
        ink.fillStyle = colours.frame;
        ink.strokeStyle = colours["box-line"];
        ink.lineWidth = 1;
        roundRect(ink, x, y, width, 15, 4);
        ink.fill();
        ink.stroke();
        ink.fillStyle = colours.accent;
        ink.globalAlpha = state.planned ? 0.45 : 0.25;
        roundRect(ink, x, y, Math.max(width * Math.min(left, 1), 3), 15, 4);
        ink.fill();
        ink.globalAlpha = 1;
        write(ink, text, x + width / 2, y + 8, font, colours.text, "center");
    }

    /* ---- what sets them --------------------------------------------------------------------------------- */

    function set(name, value) {
        state[name] = value;
        graph.paint();
    }

    function find(layers, current) {
        state.found = new Set(layers);
        set("current", current);
    }

    for (const paint of [paintGroups, paintShapes]) {
        graph.painter(paint);
    }
    for (const paint of [paintFound, paintWidths]) {
        graph.painter(paint, true);
    }

    const marks = {
        coloured: (on) => set("coloured", Boolean(on)),
        shaped: (on) => set("shaped", Boolean(on)),
        mapped: (on) => window.prunescope.map.show(Boolean(on)),
        widths: (widths) => set("widths", widths || {}),
        planned: (widths) => set("planned", widths),
        find,
        state: () => ({ ...state, found: [...state.found] }),
    };
    window.prunescope = Object.assign({}, window.prunescope, { marks });
    window.dash_clientside = Object.assign({}, window.dash_clientside, { marks });
})();
