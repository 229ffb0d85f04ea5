/* The Importance panel: asks for figures only while it is open, marks and picks groups in the overview. */

(function () {
    "use strict";

    function unchanged(before, now) {
        return JSON.stringify(before) === JSON.stringify(now);
    }

    /** What the two figures should show; no update while they are not there, not seen, or show it already. */
    function wish(tab, figures, selection, shown, criterion, scheme, before, overviewBefore) {
        const no = window.dash_clientside.no_update;
        if (tab !== "importance" || !Array.isArray(figures)) {
            return [no, no];
        }
        const overview = { shown, criterion, scheme };
        const group = { ...selection, ...overview };
        return [unchanged(before, group) ? no : group, unchanged(overviewBefore, overview) ? no : overview];
    }

    /** Move the frame in the overview to the row of the selected group. */
    function mark(selection, groups) {
        const plot = document.querySelector("#importance-overview .js-plotly-plot");
        if (!plot || !plot.layout || !plot.layout.shapes) {
            return;
        }
        const group = selection && groups ? groups.groups[selection.group] : null;
        const row = group ? plot.data[0].y.indexOf(group.name) : -1;
        window.Plotly.relayout(plot, {
            "shapes[0].y0": row - 0.5,
            "shapes[0].y1": row + 0.5,
            "shapes[0].visible": row >= 0,
        });
    }

    function pick(click, groups) {
        const name = click && click.points[0].y;
        const index = groups.groups.findIndex((group) => group.name === name);
        if (index >= 0) {
            window.prunescope.graph.focusGroup(index);
        }
    }

    window.dash_clientside = Object.assign({}, window.dash_clientside, { importance: { wish, mark, pick } });
})();
