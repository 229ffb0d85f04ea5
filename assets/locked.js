/* The table of what cannot be cut: a layer that is chosen in it is selected in the graph. */

(function () {
    "use strict";

    document.addEventListener("click", (event) => {
        const chosen = event.target.closest(".reasons [data-layer]");
        if (chosen) {
            window.dash_clientside.set_props("locked-dialog", { opened: false });
            window.prunescope.graph.focus({ layer: chosen.dataset.layer, side: null, group: null });
        }
    });
})();
