/* The page around the graph: light and dark. */

(function () {
    "use strict";

    function toggleScheme(clicks, scheme) {
        const next = scheme === "dark" ? "light" : "dark";
        document.documentElement.setAttribute("data-mantine-color-scheme", next);
        return [next, next];
    }

    window.dash_clientside = Object.assign({}, window.dash_clientside, { shell: { toggleScheme } });
})();
