/* The Group panel: its buttons select layers and groups in the graph. */

(function () {
    "use strict";

    document.addEventListener("click", (event) => {
        const chosen = event.target.closest("#group-panel [data-layer]");
        if (chosen) {
            const { layer, side, group } = chosen.dataset;
            window.prunescope.graph.focus({ layer, side, group: group === undefined ? null : Number(group) });
        }
    });
})();
