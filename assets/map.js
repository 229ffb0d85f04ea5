/* The small map: the whole picture in a corner, with the part that the window shows. Press or drag it to go there. */

(function () {
    "use strict";

    const graph = window.prunescope.graph;
    const MOST = { width: 170, height: 230 };
    const LEAST_WIDTH = 36;
    const map = { host: null, picture: null, scale: 1, wanted: true };

    function host() {
        if (map.host) {
            return map.host;
        }
        const canvas = document.createElement("canvas");
        canvas.className = "graph-map";
        canvas.setAttribute("aria-hidden", "true");
        for (const type of ["pointerdown", "pointermove"]) {
            canvas.addEventListener(type, go);
        }
        document.querySelector(".graph-stage").append(canvas);
        map.host = canvas;
        return canvas;
    }

    function go(event) {
        if (event.buttons !== 1) {
            return;
        }
        event.currentTarget.setPointerCapture(event.pointerId);
        graph.centre(event.offsetX / map.scale, event.offsetY / map.scale);
    }

    /* All boxes, painted once for each picture. */
    function draw(view) {
        const canvas = host();
        const ratio = window.devicePixelRatio || 1;
        map.scale = Math.min(MOST.width / view.width, MOST.height / view.height);
        const [width, height] = [Math.max(view.width * map.scale, LEAST_WIDTH), view.height * map.scale];
        map.offset = (width - view.width * map.scale) / 2;
        canvas.style.width = `${width}px`;
        canvas.style.height = `${height}px`;
        canvas.width = Math.round(width * ratio);
        canvas.height = Math.round(height * ratio);
        map.picture = document.createElement("canvas");
        map.picture.width = canvas.width;
        map.picture.height = canvas.height;
        const ink = map.picture.getContext("2d");
        scaled(ink, ratio);
        for (const frame of view.frames.values()) {
            ink.fillStyle = view.colours["frame-line"];
            ink.globalAlpha = 0.35;
            ink.fillRect(frame.x - frame.width / 2, frame.y - frame.height / 2, frame.width, frame.height);
            ink.globalAlpha = 1;
        }
        for (const box of view.boxes.values()) {
            ink.fillStyle = view.colours[`line-${box.family}`];
            fill(ink, box);
        }
    }

    function scaled(ink, ratio) {
        ink.setTransform(map.scale * ratio, 0, 0, map.scale * ratio, map.offset * ratio, 0);
    }

    /* At least a pixel high, however small the map is. */
    function fill(ink, box) {
        const height = Math.max(box.height, 1.2 / map.scale);
        ink.fillRect(box.x - box.width / 2, box.y - height / 2, box.width, height);
    }

    function paint(view) {
        if (!map.picture) {
            return;
        }
        const seen = view.cy.extent();
        const whole = seen.x1 <= 0 && seen.y1 <= 0 && seen.x2 >= view.width && seen.y2 >= view.height;
        const canvas = host();
        canvas.hidden = whole || !map.wanted;
        if (canvas.hidden) {
            return;
        }
        const ink = canvas.getContext("2d");
        const ratio = window.devicePixelRatio || 1;
        ink.setTransform(1, 0, 0, 1, 0, 0);
        ink.clearRect(0, 0, canvas.width, canvas.height);
        ink.globalAlpha = view.lit ? 0.35 : 0.8;
        ink.drawImage(map.picture, 0, 0);
        ink.globalAlpha = 1;
        scaled(ink, ratio);
        ink.fillStyle = view.colours.accent;
        for (const id of view.lit ? view.lit.keys() : []) {
            fill(ink, view.boxes.get(id));
        }
        ink.strokeStyle = view.colours.accent;
        ink.lineWidth = 1.5 / map.scale;
        const [left, top] = [Math.max(seen.x1, -map.offset / map.scale), Math.max(seen.y1, 0)];
        const right = Math.min(seen.x2, view.width + map.offset / map.scale);
        ink.strokeRect(left, top, right - left, Math.min(seen.y2, view.height) - top);
    }

    function show(on) {
        map.wanted = on;
        graph.paint();
    }

    graph.when("picture", draw);
    graph.when("viewport", paint);
    window.prunescope = Object.assign({}, window.prunescope, { map: { show } });
})();
