/* Light or dark before anything is painted: the choice made here before, else the system's. */

(function () {
    "use strict";

    let chosen = null;
    try {
        chosen = window.localStorage.getItem("mantine-color-scheme-value");
    } catch {
        // no storage in a sandboxed frame
    }
    const system = window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    const scheme = chosen === "light" || chosen === "dark" ? chosen : system;
    document.documentElement.setAttribute("data-mantine-color-scheme", scheme);
})();
