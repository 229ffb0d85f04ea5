/* The versions: the one on screen is brought into the window of their tree; two of them side by side. */

(function () {
    "use strict";

    function show() {
        window.requestAnimationFrame(() => {
            const shown = document.querySelector("#version-strip .shown");
            if (shown) {
                shown.scrollIntoView({ block: "nearest", inline: "nearest" });
            }
        });
    }

    /** Which two versions the Compare panel should show; no update while it is closed, or shows them already. */
    function wish(tab, before, after, all, shown, scheme, revision, known) {
        const wanted = { before: before || null, after: after || null, all: Boolean(all), shown, scheme, revision };
        const same = JSON.stringify(wanted) === JSON.stringify(known);
        return tab !== "compare" || same ? window.dash_clientside.no_update : wanted;
    }

    document.addEventListener("click", (event) => {
        const chosen = event.target.closest(".compared [data-layer]");
        if (chosen) {
            window.prunescope.graph.focus({ layer: chosen.dataset.layer, side: null, group: null });
        }
    });

    window.dash_clientside = Object.assign({}, window.dash_clientside, { versions: { show, wish } });
})();
