/* The page around the graph: light and dark, the way to a running job, and what can be fetched ahead. */

(function () {
    "use strict";

    /* Where Mantine looks for the choice too, when the page is opened. */
    const KEY = "mantine-color-scheme-value";

    function remember(scheme) {
        try {
            window.localStorage.setItem(KEY, scheme);
        } catch {
            // no storage in a sandboxed frame: the choice lasts as long as the page
        }
    }

    /** The scheme for the store and for Mantine: at first the one that the page was opened in, then the other. */
    function scheme(clicks, before) {
        if (!clicks) {
            return [document.documentElement.getAttribute("data-mantine-color-scheme"), window.dash_clientside.no_update];
        }
        const next = before === "dark" ? "light" : "dark";
        remember(next);
        document.documentElement.setAttribute("data-mantine-color-scheme", next);
        return [next, next];
    }

    function openCut() {
        return "cut";
    }

    /* Plotly's script is large: it is read while nobody waits for it, so that a panel of figures opens at once. */
    function prefetch() {
        const whenIdle = window.requestIdleCallback || window.setTimeout;
        whenIdle(() => {
            const url = window._dashPlotlyJSURL;
            if (url && !window.Plotly) {
                document.head.append(Object.assign(document.createElement("script"), { src: url, async: true }));
            }
        });
    }

    /* A menu over the graph closes by itself: by a press anywhere else, or by Escape. */
    function closeMenus(event) {
        for (const menu of document.querySelectorAll("details.view[open]")) {
            menu.open = event.key !== "Escape" && menu.contains(event.target);
        }
    }

    document.addEventListener("pointerdown", closeMenus, true);
    document.addEventListener("keydown", (event) => event.key === "Escape" && closeMenus(event), true);

    // of callbacks without outputs that hear the same store Dash keeps only one: so one each

    /** What marks the selection. */
    function selected(selection, groups) {
        window.prunescope.groups.mark(selection);
        window.prunescope.tree.mark(selection);
        window.dash_clientside.importance.mark(selection, groups);
    }

    /** What waits for the first picture. */
    function drawn() {
        prefetch();
        window.dash_clientside.address.read();
        window.dash_clientside.tour.start();
    }

    window.dash_clientside = Object.assign({}, window.dash_clientside, { shell: { scheme, openCut, selected, drawn } });
})();
