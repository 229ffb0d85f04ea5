/* The figures of all panels that were opened, as files. */

(function () {
    "use strict";

    function save(format) {
        for (const plot of document.querySelectorAll(".dash-graph[id] .js-plotly-plot")) {
            if (plot.data && plot.data.length) {
                const { width, height } = plot.getBoundingClientRect();
                const filename = plot.closest("[id]").id;
                const size = { width: Math.round(width) || 480, height: Math.round(height) || 320 };
                window.Plotly.downloadImage(plot, { format, filename, ...size, scale: format === "png" ? 2 : 1 });
            }
        }
    }

    const figures = { svg: () => save("svg"), png: () => save("png") };
    window.dash_clientside = Object.assign({}, window.dash_clientside, { figures });
})();
