/* The strip of versions: the one on screen is brought into its window. */

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

    window.dash_clientside = Object.assign({}, window.dash_clientside, { versions: { show } });
})();
