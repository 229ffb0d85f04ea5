/* Units picked by hand in the figure of the selected group: by the line, by a click, by dragging over some.
 *
 * A pick is kept for each group: `cut` goes, `keep` stays whatever is cut, `order` are all units from the most to the
 * least important.
 */

(function () {
    "use strict";

    const SIGNS = 2; // the figure's trace of signs
    const SIGN_HEIGHT = 0.12; // where they stand on the bars
    const FIGURE = "#importance-group .js-plotly-plot";

    function plot() {
        return document.querySelector(FIGURE);
    }

    function nameOf(selection, groups) {
        const group = selection && groups && groups.groups[selection.group];
        return group && !group.lock ? group.name : null;
    }

    /** The picks after something has happened to the figure, all of it since the last time. */
    function pick(_stroke, layout, cleared, shown, selection, groups, before) {
        const no = window.dash_clientside.no_update;
        const causes = window.dash_clientside.callback_context.triggered.map((each) => each.prop_id);
        const drawn = strokes.splice(0);
        if (causes.some((cause) => cause.startsWith("units-clear"))) {
            return cleared ? { version: shown, picks: {} } : no;
        }
        const name = nameOf(selection, groups);
        const figure = plot();
        if (!name || !figure || !figure.data[0] || !figure.data[0].customdata) {
            return no;
        }
        const known = before && before.version === shown ? before.picks : {};
        const order = [...figure.data[0].customdata];
        let now = { cut: [], keep: [], ...known[name], order };
        for (const [first, last] of drawn) {
            now = turned(now, order.slice(first, last + 1));
        }
        const moved = causes.some((cause) => cause.endsWith(".relayoutData"));
        const line = moved && layout && layout["shapes[0].x0"];
        if (typeof line === "number") {
            now = upTo(now, line);
        } else if (!drawn.length) {
            return no;
        }
        return { version: shown, picks: { ...known, [name]: now } };
    }

    /* A press and release over the units, at one place or across some. Plotly's own click is not asked: it tells of one
     * only where it had the time to find out what is under the pointer.
     */
    const strokes = []; // [first, last] places, not yet picked
    let made = 0; // strokes so far: that there is another one
    let pressed = null; // the place where the button went down

    function placeOf(event) {
        const figure = plot();
        const axis = figure._fullLayout.xaxis2;
        const place = Math.round(axis.p2d(event.clientX - figure.getBoundingClientRect().left - axis._offset));
        return Math.min(Math.max(place, 0), figure.data[0].customdata.length - 1);
    }

    document.addEventListener(
        "pointerdown",
        (event) => {
            const over = event.button === 0 && event.target.closest(`${FIGURE} .nsewdrag`);
            pressed = over && plot().data[0].customdata ? placeOf(event) : null;
        },
        true,
    );
    document.addEventListener("pointercancel", () => (pressed = null), true);
    document.addEventListener(
        "pointerup",
        (event) => {
            if (pressed === null || !plot()) {
                return;
            }
            strokes.push([pressed, placeOf(event)].sort((one, other) => one - other));
            pressed = null;
            window.dash_clientside.set_props("units-stroke", { data: ++made });
        },
        true,
    );

    /* Units that are free go; all that go already stay; all that stay are free again. */
    function turned(now, units) {
        const [cut, keep] = [new Set(now.cut), new Set(now.keep)];
        const all = (set) => units.every((unit) => set.has(unit));
        const to = all(keep) ? null : all(cut) ? keep : cut;
        for (const unit of units) {
            cut.delete(unit);
            keep.delete(unit);
            if (to) {
                to.add(unit);
            }
        }
        return limited({ ...now, cut: [...cut], keep: [...keep] });
    }

    /* All units right of the line go, but those that are kept. */
    function upTo(now, line) {
        const keep = new Set(now.keep);
        const cut = now.order.slice(Math.max(Math.round(line + 0.5), 0)).filter((unit) => !keep.has(unit));
        return limited({ ...now, cut });
    }

    /* One unit has to stay: the most important. */
    function limited(now) {
        return now.cut.length < now.order.length ? now : { ...now, cut: now.cut.filter((unit) => unit !== now.order[0]) };
    }

    /* Where the line stands: all right of it goes, but what is kept. */
    function edge(order, cut, keep) {
        let first = order.length;
        for (let at = order.length - 1; at >= 0 && (cut.has(order[at]) || keep.has(order[at])); at -= 1) {
            first = cut.has(order[at]) ? at : first;
        }
        return first;
    }

    /** Show the picks in the figure. */
    function paint(units, drawn, selection, groups) {
        const figure = plot();
        const name = nameOf(selection, groups);
        if (!figure || !name || !figure.layout.meta || !figure.layout.meta.colours || !figure.data[0].customdata) {
            return;
        }
        const { colours } = figure.layout.meta;
        const own = (units && units.picks[name]) || { cut: [], keep: [] };
        const [cut, keep] = [new Set(own.cut), new Set(own.keep)];
        const order = [...figure.data[0].customdata];
        const colour = (unit) => (cut.has(unit) ? colours.cut : keep.has(unit) ? colours.keep : colours.free);
        const picked = order.map((unit, at) => [unit, at]).filter(([unit]) => cut.has(unit) || keep.has(unit));
        const place = edge(order, cut, keep) - 0.5;
        const layout = { "shapes[0].x0": place, "shapes[0].x1": place, "shapes[0].y0": 0, "shapes[0].y1": 1, selections: [] };
        window.Plotly.restyle(figure, { "marker.color": [order.map(colour)], selectedpoints: [null] }, [0]);
        window.Plotly.update(
            figure,
            {
                x: [picked.map(([, at]) => at)],
                y: [picked.map(() => SIGN_HEIGHT * Math.max(...figure.data[0].y))],
                "marker.symbol": [picked.map(([unit]) => (cut.has(unit) ? "x" : "diamond"))],
            },
            layout,
            [SIGNS],
        );
    }

    window.prunescope = Object.assign({}, window.prunescope, { units: { turned, upTo, edge } });
    window.dash_clientside = Object.assign({}, window.dash_clientside, { units: { pick, paint } });
})();
