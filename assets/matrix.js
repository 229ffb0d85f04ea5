/* The matrices: asked for while they are open; a click on a cell shows its two layers, and why they go together. */

(function () {
    "use strict";

    function wish(tab, figures, shown, scheme, before) {
        const wanted = { shown, scheme };
        const same = JSON.stringify(wanted) === JSON.stringify(before);
        return tab !== "matrix" || !Array.isArray(figures) || same ? window.dash_clientside.no_update : wanted;
    }

    /* "layer1.0.conv1 f⁺" -> the layer and the side. */
    function sideOf(name) {
        const at = name.lastIndexOf(" ");
        return { layer: name.slice(0, at), side: name.slice(at + 1) === "f⁻" ? "in" : "out" };
    }

    function pick(click) {
        if (!click) {
            return;
        }
        const [first, second] = [sideOf(click.points[0].y), sideOf(click.points[0].x)];
        window.prunescope.graph.focus({ ...first, group: null });
        if (first.layer !== second.layer) {
            window.prunescope.graph.tie(second.layer);
        }
    }

    window.dash_clientside = Object.assign({}, window.dash_clientside, { matrix: { wish, pick } });
})();
