/* The graph view.
 *
 * Cytoscape holds the elements, draws boxes, frames and edges, and moves and zooms. One canvas over it draws
 * everything else: text, the highlight, badges, heat bars. So a click restyles nothing: the highlight is a veil
 * over the whole canvas with the lit boxes and edges painted again on top, in a few milliseconds at any size.
 * For the same reason the elements take no events: Cytoscape would redraw all of them for each press and hover.
 * What is under the pointer is found here, among the rectangles of the picture.
 * The pictures come from `explorer/layout.py`; x and y of boxes and frames are centres.
 *
 * Public: window.prunescope.graph, and the same functions for Dash callbacks as window.dash_clientside.graph.
 */
(function () {
    "use strict";

    const HOST = "graph";
    const LIVE = "graph-live";
    const FIRST_ZOOM = { least: 0.6, most: 1.05 };
    const ZOOM_STEP = 1.25;
    const MARGIN = 28;
    const EDGE = 90;
    const RADIUS = 8;
    const DOUBLE = 500; // milliseconds between two taps that open a module
    const FEW_INPUTS = 4; // of a concatenation, that are all drawn
    const CHEVRON = 26;
    const GAP = 10;
    const TITLE = 27;
    const FONT = '"Inter", system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif';
    const FAMILIES = [
        "conv", "linear", "norm", "activation", "pool", "elementwise", "concat", "other", "module",
    ];
    const HEAT = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
    const NOTHING = { layer: null, side: null, group: null };
    const NO_GROUPS = { layers: {}, shared: {}, groups: [], locked: {} };

    /* Everything the view knows. `lit` maps box ids to {sides, count}; null when nothing is selected. `tie` is the
     * second layer of a chain that was asked for, with the server's record once that is there; `trail` is where the
     * chain is in the picture: `boxes` maps box ids to {steps, end}, `edges` holds "source > target". */
    const view = {
        cy: null,
        canvas: null,
        tip: null,
        colours: null,
        boxes: new Map(),
        frames: new Map(),
        routes: [],
        bundles: new Map(),
        home: new Map(),
        width: 0,
        height: 0,
        groups: NO_GROUPS,
        heat: null,
        selection: NOTHING,
        lit: null,
        tie: null,
        trail: null,
        hovered: null,
        painters: [],
        heard: { picture: [], viewport: [], groups: [] },
        tapped: { id: null, time: 0 },
        toggles: 0,
        toggled: null,
        revealing: null,
    };

    /* ---- colours ---------------------------------------------------------------------------------------- */

    function readColours() {
        const css = getComputedStyle(document.documentElement);
        const read = (name) => css.getPropertyValue(name).trim();
        const names = [
            "canvas", "veil", "frame", "frame-line", "edge", "skip", "concat", "text", "muted", "in", "out",
            "accent", "on-accent", "box-line", "lock", "on-lock", "found", "box-text",
        ];
        const colours = Object.fromEntries(names.map((name) => [name, read(`--graph-${name}`)]));
        for (const family of FAMILIES) {
            colours[`fill-${family}`] = read(`--kind-${family}`);
            colours[`line-${family}`] = read(`--kind-${family}-line`);
        }
        return colours;
    }

    function stylesheet(colours) {
        const kinds = FAMILIES.map((family) => ({
            selector: `node[family = "${family}"]`,
            style: { "background-color": colours[`fill-${family}`] },
        }));
        const lines = ["skip", "concat"].map((kind) => ({
            selector: `edge[kind = "${kind}"]`,
            style: { "line-color": colours[kind], "target-arrow-color": colours[kind] },
        }));
        lines.push({ selector: "edge[bundled = 1]", style: { opacity: 0.13 } });
        const core = { selector: "core", style: { "active-bg-opacity": 0 } };
        return [core, ...nodeStyles(colours), ...kinds, ...edgeStyles(colours), ...lines];
    }

    function nodeStyles(colours) {
        const size = { width: "data(width)", height: "data(height)", "z-index-compare": "manual" };
        return [
            {
                selector: "node",
                style: {
                    ...size, shape: "round-rectangle", "border-width": 1, "border-color": colours["box-line"],
                    "z-index": 20, events: "no",
                },
            },
            {
                selector: "node.frame",
                style: {
                    "background-color": colours.frame, "background-opacity": 0.55, "border-width": 1,
                    "border-color": colours["frame-line"], "z-index": 1,
                },
            },
        ];
    }

    function edgeStyles(colours) {
        return [
            {
                selector: "edge",
                style: {
                    width: "data(width)", "line-color": colours.edge, "target-arrow-color": colours.edge,
                    "target-arrow-shape": "triangle", "arrow-scale": 0.75, "z-index-compare": "manual",
                    "z-index": 10, events: "no", "curve-style": "straight",
                    "source-endpoint": "data(out)", "target-endpoint": "data(into)",
                },
            },
            {
                selector: "edge[weights]",
                style: {
                    "curve-style": "segments", "edge-distances": "node-position",
                    "segment-weights": "data(weights)", "segment-distances": "data(distances)",
                },
            },
        ];
    }

    /* ---- elements --------------------------------------------------------------------------------------- */

    function boxElement(box) {
        return {
            group: "nodes",
            data: { id: box.id, width: box.width, height: box.height, family: box.family },
            position: { x: box.x, y: box.y },
        };
    }

    function frameElement(frame) {
        return {
            group: "nodes",
            classes: "frame",
            data: { id: `frame:${frame.module}`, width: frame.width, height: frame.height },
            position: { x: frame.x, y: frame.y },
        };
    }

    function edgeElement(route) {
        const source = view.boxes.get(route.source);
        const target = view.boxes.get(route.target);
        const start = route.points[0];
        const end = route.points[route.points.length - 1];
        const data = {
            id: `${route.source} > ${route.target}`,
            source: route.source,
            target: route.target,
            kind: route.kind,
            width: route.width,
            bundled: route.bundled ? 1 : 0,
            out: `${start[0] - source.x} ${start[1] - source.y}`,
            into: `${end[0] - target.x} ${end[1] - target.y}`,
        };
        return { group: "edges", data: { ...data, ...segments(route.line, source, target) } };
    }

    /* Bends as Cytoscape wants them: along and across the line between the two centres. */
    function segments(line, source, target) {
        if (line.length < 3) {
            return {};
        }
        const across = [target.x - source.x, target.y - source.y];
        const square = across[0] ** 2 + across[1] ** 2 || 1;
        const inner = line.slice(1, -1).map(([x, y]) => [x - source.x, y - source.y]);
        const weights = inner.map(([x, y]) => (x * across[0] + y * across[1]) / square);
        const distances = inner.map(([x, y]) => (y * across[0] - x * across[1]) / Math.sqrt(square));
        return { weights: weights.join(" "), distances: distances.join(" ") };
    }

    /* The points with every bend replaced by a short curve. */
    function rounded(points) {
        const line = [points[0]];
        for (let at = 1; at < points.length - 1; at += 1) {
            const [before, bend, after] = points.slice(at - 1, at + 2);
            const from = towards(bend, before);
            const to = towards(bend, after);
            for (const share of [0, 0.25, 0.5, 0.75, 1]) {
                const [a, b, c] = [(1 - share) ** 2, 2 * share * (1 - share), share ** 2];
                line.push([a * from[0] + b * bend[0] + c * to[0], a * from[1] + b * bend[1] + c * to[1]]);
            }
        }
        return [...line, points[points.length - 1]];
    }

    function towards(from, to) {
        const length = Math.hypot(to[0] - from[0], to[1] - from[1]) || 1;
        const share = Math.min(RADIUS, length / 2) / length;
        return [from[0] + (to[0] - from[0]) * share, from[1] + (to[1] - from[1]) * share];
    }

    /* ---- drawing a picture ------------------------------------------------------------------------------ */

    function draw(picture) {
        const cy = instance();
        if (!picture) {
            return;
        }
        if (!cy || cy.width() === 0) {
            window.setTimeout(() => draw(picture), 40);
            return;
        }
        attach(cy);
        const anchor = anchorBefore(picture);
        fade();
        hideTip();
        remember(picture);
        replaceElements(cy, picture);
        retrace();
        relight();
        hear("picture");
        if (anchor) {
            keepInPlace(cy, anchor);
        } else {
            fitWidth();
        }
        uncover();
        announceFirst();
        performance.mark("graph-drawn");
    }

    /* ---- what other scripts add ------------------------------------------------------------------------- */

    /* `paint(ink, boxes, view)` is called for the boxes in the window: over their text, and under the highlight unless
     * it is to be above. */
    function painter(paint, above = false) {
        view.painters.push({ paint, above });
    }

    function paintOthers(ink, near, above) {
        view.painters.filter((each) => each.above === above).forEach((each) => each.paint(ink, near, view));
    }

    /* `action(view)` is called after "picture", "groups" or "viewport" has changed. */
    function when(what, action) {
        view.heard[what].push(action);
    }

    function hear(what) {
        view.heard[what].forEach((action) => action(view));
    }

    function announceFirst() {
        const host = document.getElementById(HOST);
        if (!host.dataset.drawn) {
            host.dataset.drawn = "true";
            afterPaint(() => tell("drawn", true));
        }
    }

    function remember(picture) {
        view.boxes = new Map(picture.boxes.map((box) => [box.id, { ...box, text: null, padlocks: padlocks(box) }]));
        view.frames = new Map(picture.frames.map((frame) => [frame.module, frame]));
        const bundled = bundles(picture.routes);
        view.bundles = new Map([...bundled].map(([target, routes]) => [target, routes.size]));
        view.routes = picture.routes.map((route) => ({
            ...route,
            line: rounded(route.points),
            width: Math.min(4, 1.4 + 0.6 * Math.log2(route.count)),
            bundled: (bundled.get(route.target) || new Set()).has(route),
        }));
        view.home = new Map(picture.boxes.flatMap((box) => box.layers.map((layer) => [layer, box.id])));
        view.width = picture.width;
        view.height = picture.height;
        view.hovered = null;
    }

    /* Target -> the inputs of a concatenation that are hinted at until it is hovered: of many, all but the shortest. */
    function bundles(routes) {
        const found = new Map();
        for (const route of routes.filter((each) => each.kind === "concat")) {
            found.set(route.target, [...(found.get(route.target) || []), route]);
        }
        const many = [...found].filter(([, inputs]) => inputs.length > FEW_INPUTS);
        return new Map(many.map(([target, inputs]) => [target, new Set(inputs.sort(byHeight).slice(1))]));
    }

    function byHeight(one, other) {
        const height = ({ points }) => points[points.length - 1][1] - points[0][1];
        return height(one) - height(other);
    }

    function replaceElements(cy, picture) {
        const wanted = [
            ...picture.frames.map(frameElement),
            ...picture.boxes.map(boxElement),
            ...view.routes.map(edgeElement),
        ];
        const ids = new Set(wanted.map((element) => element.data.id));
        cy.batch(() => {
            cy.elements().filter((element) => !ids.has(element.id())).remove();
            cy.add(wanted.filter((element) => !updated(cy, element)));
        });
    }

    /* Whether an element of this id was there; it then has its new place and data. */
    function updated(cy, wanted) {
        const element = cy.getElementById(wanted.data.id);
        if (element.empty()) {
            return false;
        }
        const { id, source, target, ...data } = wanted.data;
        if (wanted.group === "edges" && !wanted.data.weights) {
            element.removeData("weights distances");
        }
        element.data(data);
        if (wanted.position) {
            element.position(wanted.position);
        }
        return true;
    }

    /* A thing that is in both pictures, with the place where it is now: the module just toggled, or a near box. */
    function anchorBefore(picture) {
        const module = view.toggled;
        view.toggled = null;
        const place = module && (view.boxes.get(`module:${module}`) || view.frames.get(module));
        if (place) {
            return { module, x: place.x, y: place.y - place.height / 2 };
        }
        const middle = view.cy.extent();
        const far = (box) => Math.hypot(box.x - (middle.x1 + middle.x2) / 2, box.y - (middle.y1 + middle.y2) / 2);
        const kept = picture.boxes.map((box) => view.boxes.get(box.id)).filter(Boolean);
        const near = kept.reduce((best, box) => (best && far(best) <= far(box) ? best : box), null);
        return near && { id: near.id, x: near.x, y: near.y - near.height / 2 };
    }

    function keepInPlace(cy, anchor) {
        const place = anchor.module
            ? view.boxes.get(`module:${anchor.module}`) || view.frames.get(anchor.module)
            : view.boxes.get(anchor.id);
        if (!place) {
            return;
        }
        const zoom = cy.zoom();
        cy.panBy({ x: (anchor.x - place.x) * zoom, y: (anchor.y - (place.y - place.height / 2)) * zoom });
    }

    /* After a new picture: bring into the window what was asked for, and never leave the window empty. */
    function uncover() {
        const layer = view.revealing;
        if (layer && isOpen(layer)) {
            view.revealing = null;
            show(layer, EDGE);
        } else if (![...view.boxes.values()].some((box) => meets(box, view.cy.extent()))) {
            fitWidth();
        }
    }

    /* The old picture fades out over the new one. */
    function fade() {
        const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
        if (calm || view.boxes.size === 0) {
            return;
        }
        const copy = document.createElement("canvas");
        copy.width = view.canvas.width;
        copy.height = view.canvas.height;
        copy.className = "graph-fade";
        const ink = copy.getContext("2d");
        for (const canvas of view.canvas.parentElement.querySelectorAll("canvas")) {
            ink.drawImage(canvas, 0, 0, copy.width, copy.height);
        }
        view.canvas.parentElement.append(copy);
        copy.addEventListener("animationend", () => copy.remove());
    }

    /* ---- attaching to the Cytoscape instance ------------------------------------------------------------ */

    function instance() {
        const host = document.getElementById(HOST);
        return host && host._cyreg ? host._cyreg.cy : null;
    }

    function attach(cy) {
        if (view.cy === cy) {
            return;
        }
        view.cy = cy;
        const host = document.getElementById(HOST);
        host.setAttribute("role", "img");
        host.setAttribute("tabindex", "0");
        host.setAttribute("aria-label", "Layers of the model and the data that flows between them");
        view.canvas = layer(host, "canvas", "graph-overlay");
        view.tip = layer(host, "div", "graph-tip");
        cy.minZoom(0.05);
        cy.maxZoom(3);
        listen(cy, host);
        theme();
    }

    function layer(host, tag, name) {
        const inner = host.querySelector("canvas").parentElement;
        const element = document.createElement(tag);
        element.className = name;
        element.setAttribute("aria-hidden", "true");
        inner.append(element);
        return element;
    }

    function listen(cy, host) {
        cy.on("render", paint);
        cy.on("tap", onTap);
        cy.on("mousemove", (event) => hover(hit(event.position)));
        cy.on("viewport", hideTip);
        host.addEventListener("mouseleave", () => hover(null));
        host.parentElement.addEventListener("wheel", onWheel, { capture: true, passive: false });
        new ResizeObserver(() => cy.resize()).observe(host);
        const scheme = { attributes: true, attributeFilter: ["data-mantine-color-scheme"] };
        new MutationObserver(theme).observe(document.documentElement, scheme);
    }

    function theme() {
        view.colours = readColours();
        if (view.cy) {
            view.cy.style().fromJson(stylesheet(view.colours)).update();
            paint();
        }
    }

    /* The wheel scrolls the picture; with Ctrl or Command, and with a pinch, it zooms at the pointer. */
    function onWheel(event) {
        const host = document.getElementById(HOST);
        if (!host.contains(event.target)) {
            return;
        }
        event.preventDefault();
        event.stopPropagation();
        const unit = event.deltaMode === 1 ? 18 : 1;
        if (!event.ctrlKey && !event.metaKey) {
            const [x, y] = event.shiftKey ? [event.deltaY, event.deltaX] : [event.deltaX, event.deltaY];
            view.cy.panBy({ x: -x * unit, y: -y * unit });
            return;
        }
        const bounds = host.getBoundingClientRect();
        const at = { x: event.clientX - bounds.left, y: event.clientY - bounds.top };
        view.cy.zoom({ level: view.cy.zoom() * Math.exp(-0.004 * event.deltaY * unit), renderedPosition: at });
    }

    /* ---- selection -------------------------------------------------------------------------------------- */

    function onTap(event) {
        performance.mark("graph-tap");
        const id = hit(event.position);
        const box = view.boxes.get(id);
        const twice = isDouble(id, event.originalEvent);
        const second = box && !box.module && event.originalEvent.shiftKey && view.selection.layer;
        if (!id) {
            clear();
        } else if (second) {
            tie(id);
        } else if (box && !box.module) {
            select(id, nextSide(id));
        } else if (!box || twice || event.position.x < box.x - box.width / 2 + CHEVRON) {
            toggle(moduleOf(id));
        } else {
            announce(`${box.module}: ${box.detail}. Double-click opens it.`);
        }
    }

    /* Whether this tap follows another one at the same thing: by the browser's count of clicks, which a busy machine
     * does not upset, or soon after, which holds for fingers and slow hands too. */
    function isDouble(id, { detail, timeStamp: time }) {
        const twice = view.tapped.id === id && (detail > 1 || time - view.tapped.time < DOUBLE);
        view.tapped = { id: twice ? null : id, time };
        return twice;
    }

    /* The id of the box at a place, or "title:" and the module of the frame whose title is there, or null. */
    function hit({ x, y }) {
        for (const { id, x: middle, y: centre, width, height } of view.boxes.values()) {
            if (Math.abs(x - middle) <= width / 2 && Math.abs(y - centre) <= height / 2) {
                return id;
            }
        }
        for (const frame of view.frames.values()) {
            const [right, down] = [x - frame.x + frame.width / 2, y - frame.y + frame.height / 2];
            if (right >= 0 && right <= frame.title && down >= 0 && down <= TITLE) {
                return `title:${frame.module}`;
            }
        }
        return null;
    }

    /* Another tap on the selected layer turns to its other side, where that has another group. */
    function nextSide(id) {
        const sides = view.groups.layers[id] || {};
        const first = known(sides.out) ? "out" : "in";
        if (view.selection.layer !== id) {
            return first;
        }
        const other = view.selection.side === "out" ? "in" : "out";
        return known(sides[other]) ? other : view.selection.side;
    }

    function known(group) {
        return group !== null && group !== undefined;
    }

    /* Light a group of one side of a layer: "out" where no side is given and it has one, the one with most of the
     * side's units where none is given. */
    function select(layerId, side, wanted) {
        if (!layerId) {
            clear();
            return;
        }
        const sides = view.groups.layers[layerId] || {};
        const chosen = side || (known(sides.out) ? "out" : "in");
        const group = known(wanted) ? wanted : known(sides[chosen]) ? sides[chosen] : null;
        if (view.selection.layer === layerId && view.selection.side === chosen && view.selection.group === group) {
            return;
        }
        change({ layer: layerId, side: chosen, group });
        show(layerId);
    }

    function clear() {
        if (view.selection !== NOTHING) {
            change(NOTHING);
        }
    }

    function change(selection) {
        untie();
        view.selection = selection;
        relight();
        announce(sentence(selection));
        afterPaint(() => tell("selection", selection));
    }

    function relight() {
        view.lit = view.selection.layer ? litBoxes(view.selection) : null;
        paint();
        performance.mark("graph-lit");
    }

    function litBoxes(selection) {
        const group = view.groups.groups[selection.group];
        const inside = group ? group.members : [];
        // a layer that the units only run through is no member
        const own = inside.some(({ layer }) => layer === selection.layer) ? [] : [{ layer: selection.layer, side: "none" }];
        const members = [...inside, ...own];
        const lit = new Map();
        for (const member of members) {
            const id = view.home.get(member.layer);
            if (id) {
                const entry = lit.get(id) || { in: false, out: false, count: 0 };
                entry.in = entry.in || member.side === "in" || member.side === "both";
                entry.out = entry.out || member.side === "out" || member.side === "both";
                entry.count += 1;
                lit.set(id, entry);
            }
        }
        return lit;
    }

    function sentence({ layer, group }) {
        if (!layer) {
            return "Nothing is selected.";
        }
        const found = view.groups.groups[group];
        if (!found) {
            const locks = (view.groups.locked[layer] || []).map((lock) => `${lock.text}: ${lock.reason}`);
            return `${layer}: ${locks.join("; ") || "not in any group"}`;
        }
        const layers = new Set(found.members.map((member) => member.layer)).size;
        return `${layer}: group of ${layers} ${layers === 1 ? "layer" : "layers"}, ${found.size} ${found.kind}`;
    }

    function announce(text) {
        const live = document.getElementById(LIVE);
        if (live) {
            live.textContent = text;
        }
    }

    function afterPaint(action) {
        window.requestAnimationFrame(() => window.setTimeout(action, 0));
    }

    function tell(store, data) {
        if (window.dash_clientside && window.dash_clientside.set_props) {
            window.dash_clientside.set_props(store, { data });
        }
    }

    /* ---- the chain between two layers ------------------------------------------------------------------- */

    /* Ask what ties the selected layer to a second one. */
    function tie(second) {
        const first = view.selection.layer;
        const same = second === first || (view.tie && view.tie.second === second);
        if (!first || same || !view.groups.layers[second]) {
            return;
        }
        view.tie = { first, second, record: null };
        // the chain before it answers another question
        view.trail = null;
        paint();
        announce(`What ties ${first} and ${second}?`);
        tell("why", { first, second });
        window.prunescope.why.say(second);
    }

    function untie() {
        if (!view.tie) {
            return;
        }
        view.tie = null;
        view.trail = null;
        tell("why", null);
        window.prunescope.why.say(null);
        paint();
    }

    /* The server's answer; one to an earlier question is not shown. */
    function setChain(record) {
        const { tie: asked } = view;
        if (!asked || !record || record.first !== asked.first || record.second !== asked.second) {
            return;
        }
        asked.record = record;
        retrace();
        paint();
        showAll([...view.trail.boxes.keys()]);
        const count = record.steps.length;
        const words = record.tied ? `tied by ${count} ${count === 1 ? "operation" : "operations"}` : "nothing ties them";
        announce(`${record.first} and ${record.second}: ${words}.`);
    }

    /* Find the chain in the picture: a layer in a closed module is shown by the module. */
    function retrace() {
        const record = view.tie && view.tie.record;
        view.trail = record ? trailOf(record) : null;
    }

    function trailOf(record) {
        const boxes = new Map();
        const mark = (layer) => {
            const id = view.home.get(layer);
            if (id && !boxes.has(id)) {
                boxes.set(id, { steps: [], end: false });
            }
            return boxes.get(id);
        };
        record.path.forEach(mark);
        for (const layer of [record.first, record.second]) {
            mark(layer).end = true;
        }
        record.steps.forEach((step, at) => step.layer && mark(step.layer).steps.push(at + 1));
        const edges = record.edges.map((ends) => ends.map((layer) => view.home.get(layer)).join(" > "));
        return { boxes, edges: new Set(edges) };
    }

    /* ---- opening and closing modules -------------------------------------------------------------------- */

    /* The module that a closed module's box or a frame's title stands for. */
    function moduleOf(id) {
        const named = id && (id.startsWith("module:") || id.startsWith("title:"));
        return named ? id.slice(id.indexOf(":") + 1) : null;
    }

    function toggle(module) {
        const now = performance.now();
        if (module === null || now - view.toggles < 450) {
            return;
        }
        view.toggles = now;
        view.toggled = module;
        tell("toggle", { module, n: Math.round(now) });
    }

    /* ---- hover ------------------------------------------------------------------------------------------ */

    function hover(id) {
        if (id === view.hovered) {
            return;
        }
        view.hovered = id;
        view.canvas.parentElement.style.cursor = id ? "pointer" : "";
        paint();
        if (!view.boxes.has(id)) {
            hideTip();
            return;
        }
        const box = view.boxes.get(id);
        const [name, ...lines] = tipLines(box);
        view.tip.replaceChildren(...[name, ...lines].map(tipLine));
        const { x, y } = besides(box);
        view.tip.style.transform = `translate(${x}px, ${y}px)`;
        view.tip.dataset.shown = "true";
    }

    /* Where the tip goes: right of the box, left of it, below it or above it, where there is room first; always
     * inside the window. */
    function besides(box) {
        const { cy, tip } = view;
        const [zoom, pan] = [cy.zoom(), cy.pan()];
        const [width, height] = [tip.offsetWidth, tip.offsetHeight];
        const [left, right] = [-1, 1].map((side) => (box.x + (side * box.width) / 2) * zoom + pan.x);
        const [top, bottom] = [-1, 1].map((side) => (box.y + (side * box.height) / 2) * zoom + pan.y);
        const places = [
            { x: right + GAP, y: top },
            { x: left - GAP - width, y: top },
            { x: (left + right - width) / 2, y: bottom + GAP },
            { x: (left + right - width) / 2, y: top - GAP - height },
        ];
        const fits = (place, at) =>
            at < 2 ? place.x >= 0 && place.x + width <= cy.width() : place.y >= 0 && place.y + height <= cy.height();
        const { x, y } = places.find(fits) || places[1];
        return { x: within(x, cy.width() - width), y: within(y, cy.height() - height) };
    }

    function within(at, most) {
        return Math.max(Math.min(at, most - 4), 4);
    }

    function tipLines(box) {
        if (box.module) {
            const held = new Set(box.layers.flatMap((id) => Object.values(view.groups.layers[id] || {})).filter(known));
            const groups = `${box.detail}, ${held.size} ${held.size === 1 ? "group" : "groups"}`;
            return [box.module, groups, ...lockedInside(box), "Double-click to open"];
        }
        const sides = view.groups.layers[box.id] || {};
        const lines = [box.id, [box.kind, box.detail].filter(Boolean).join(" · ")];
        if (box.layers.length > 1) {
            lines.push(`with ${box.layers.slice(1).map((id) => id.slice(id.lastIndexOf(".") + 1)).join(", ")}`);
        }
        for (const [side, name] of [["in", "input f−"], ["out", "output f+"]]) {
            const group = view.groups.groups[sides[side]];
            if (group) {
                const layers = new Set(group.members.map((member) => member.layer)).size;
                const more = ((view.groups.shared || {})[box.id] || {})[side];
                const rest = more ? `, and ${more.length - 1} more ${more.length === 2 ? "group" : "groups"}` : "";
                lines.push(`${name}: ${group.size} ${group.kind}, ${layers} ${layers === 1 ? "layer" : "layers"}${rest}`);
            }
        }
        return [...lines, ...lockLines(box.id)];
    }

    function lockLines(layer) {
        return (view.groups.locked[layer] || []).flatMap(({ text, reason, where }) => [
            { lock: true, text: `${text[0].toUpperCase()}${text.slice(1)}: ${reason}` },
            ...(where ? [`Arises in ${where}`] : []),
        ]);
    }

    /* Of a closed module: how many of its layers have a padlock, and the reasons. */
    function lockedInside(box) {
        const locks = box.layers.map((id) => view.groups.locked[id]).filter(Boolean);
        const reasons = new Set(locks.flat().map((lock) => lock.reason));
        const count = `${locks.length} ${locks.length === 1 ? "layer has" : "layers have"} a lock`;
        return locks.length ? [{ lock: true, text: `${count}: ${[...reasons].join("; ")}` }] : [];
    }

    /* A line of text, or of {lock, text} with a padlock before it. */
    function tipLine(content) {
        const line = document.createElement("div");
        line.textContent = content.text || content;
        line.classList.toggle("tip-lock", Boolean(content.lock));
        return line;
    }

    function hideTip() {
        delete view.tip.dataset.shown;
    }

    /* ---- painting --------------------------------------------------------------------------------------- */

    function paint() {
        const { cy, canvas, colours } = view;
        if (!cy || !colours) {
            return;
        }
        const ratio = window.devicePixelRatio || 1;
        const [width, height] = [Math.round(cy.width() * ratio), Math.round(cy.height() * ratio)];
        if (canvas.width !== width || canvas.height !== height) {
            canvas.width = width;
            canvas.height = height;
        }
        const ink = canvas.getContext("2d");
        ink.setTransform(1, 0, 0, 1, 0, 0);
        ink.clearRect(0, 0, width, height);
        const zoom = cy.zoom();
        const pan = cy.pan();
        ink.setTransform(zoom * ratio, 0, 0, zoom * ratio, pan.x * ratio, pan.y * ratio);
        paintPicture(ink, cy.extent(), zoom);
        hear("viewport");
    }

    function paintPicture(ink, extent, zoom) {
        const near = [...view.boxes.values()].filter((box) => meets(box, extent));
        for (const frame of view.frames.values()) {
            if (meets(frame, extent)) {
                paintTitle(ink, frame, zoom);
            }
        }
        for (const box of near) {
            paintText(ink, box, zoom);
        }
        if (view.hovered && !view.trail && !view.lit) {
            paintHovered(ink);
        }
        paintBundles(ink, near);
        paintOthers(ink, near, false);
        if (view.trail) {
            paintTrail(ink, near, extent, zoom);
        } else if (view.lit) {
            paintHighlight(ink, near, extent, zoom);
        }
        paintOthers(ink, near, true);
        const marked = view.trail ? view.trail.boxes : view.lit;
        const hovered = view.boxes.get(view.hovered);
        if (hovered && !(marked && marked.has(view.hovered))) {
            outline(ink, hovered, view.colours.accent, 1.5, 1);
        }
    }

    /* How many inputs of a concatenation are only hinted at. */
    function paintBundles(ink, near) {
        for (const box of near) {
            const count = view.bundles.get(box.id);
            if (count && box.id !== view.hovered) {
                badge(ink, box.x + box.width / 2 + 10, box.y - box.height / 2, `+${count} inputs`, view.colours.concat);
            }
        }
    }

    /* All edges of the box under the pointer, the bundled ones too. */
    function paintHovered(ink) {
        for (const route of view.routes) {
            if (route.source === view.hovered || route.target === view.hovered) {
                paintRoute(ink, route);
            }
        }
    }

    function meets(thing, extent) {
        const [x, y] = [thing.width / 2 + 12, thing.height / 2 + 16];
        return thing.x + x > extent.x1 && thing.x - x < extent.x2 && thing.y + y > extent.y1 && thing.y - y < extent.y2;
    }

    function paintTitle(ink, frame, zoom) {
        if (zoom < 0.3) {
            return;
        }
        const x = frame.x - frame.width / 2 + 12;
        const y = frame.y - frame.height / 2 + 15;
        const on = view.hovered === `title:${frame.module}`;
        const colour = on ? view.colours.accent : view.colours.muted;
        chevron(ink, x, y, true, colour);
        write(ink, frame.label, x + 14, y, `600 12px ${FONT}`, colour);
    }

    function chevron(ink, x, y, down, colour) {
        ink.beginPath();
        const points = down ? [[-1, -2], [3, 2.5], [7, -2]] : [[1, -4], [5.5, 0], [1, 4]];
        points.forEach(([dx, dy], at) => (at ? ink.lineTo(x + dx, y + dy) : ink.moveTo(x + dx, y + dy)));
        ink.strokeStyle = colour;
        ink.lineWidth = 1.8;
        ink.lineJoin = "round";
        ink.lineCap = "round";
        ink.stroke();
    }

    function write(ink, text, x, y, font, colour, align = "left") {
        ink.font = font;
        ink.fillStyle = colour;
        ink.textAlign = align;
        ink.textBaseline = "middle";
        ink.fillText(text, x, y);
    }

    function paintText(ink, box, zoom) {
        const { colours } = view;
        const left = box.x - box.width / 2;
        const top = box.y - box.height / 2;
        if (!box.module) {
            ink.fillStyle = colours[`line-${box.family}`];
            roundRect(ink, left + 5, top + 8, 3, box.height - 16, 1.5);
            ink.fill();
        }
        if (zoom < 0.3) {
            paintLock(ink, box);
            return;
        }
        const text = box.text || (box.text = fitted(ink, box));
        const start = left + (box.module ? CHEVRON : 15);
        if (box.module) {
            chevron(ink, left + 11, box.y, false, colours.muted);
        }
        write(ink, text.label, start, top + (box.detail ? 15 : box.height / 2), `600 12.5px ${FONT}`, colours.text);
        if (zoom >= 0.45) {
            write(ink, text.kind, left + box.width - 10, top + 15.5, `10.5px ${FONT}`, colours.muted, "right");
            write(ink, text.detail, start, top + 31, `11px ${FONT}`, colours.muted);
        }
        paintLock(ink, box);
        paintHeat(ink, box);
    }

    /* The texts of a box, cut to its width. */
    function fitted(ink, box) {
        const room = box.width - (box.module ? CHEVRON : 15) - 10;
        ink.font = `600 12.5px ${FONT}`;
        const label = cut(ink, box.label, room);
        const rest = room - ink.measureText(label).width - 8;
        ink.font = `10.5px ${FONT}`;
        const named = !box.module && box.kind !== box.label;
        const kind = named && rest > 30 ? cut(ink, box.kind, rest) : "";
        ink.font = `11px ${FONT}`;
        return { label, kind, detail: cut(ink, box.detail, room) };
    }

    function cut(ink, text, room) {
        if (ink.measureText(text).width <= room) {
            return text;
        }
        let end = text.length - 1;
        while (end > 1 && ink.measureText(`${text.slice(0, end)}…`).width > room) {
            end -= 1;
        }
        return `${text.slice(0, end)}…`;
    }

    /* Padlocks hang on the right corners: below for the output side, above for the input side, between for a weight. */
    function paintLock(ink, box) {
        const size = enlarged();
        for (const [place, whole] of box.padlocks) {
            const y = { in: -1, out: 1 }[place] || 0;
            padlock(ink, box.x + box.width / 2 + 2, box.y + (y * box.height) / 2, size, whole);
        }
    }

    /* [place, whether all of it is locked] of every padlock of a box; a closed module has one for all its layers. */
    function padlocks(box) {
        const locks = box.layers.flatMap((id) => view.groups.locked[id] || []);
        if (box.module) {
            return locks.length ? [["out", false]] : [];
        }
        return [...new Set(locks.map((lock) => lock.place))].map((place) => [
            place,
            locks.filter((lock) => lock.place === place).some((lock) => lock.whole),
        ]);
    }

    /* A disc with a padlock; hollow where only a part is locked. */
    function padlock(ink, x, y, size, whole) {
        const { colours } = view;
        const [disc, glyph] = whole ? [colours.lock, colours["on-lock"]] : [colours["on-lock"], colours.lock];
        ink.beginPath();
        ink.arc(x, y, 8 * size, 0, 2 * Math.PI);
        ink.fillStyle = disc;
        ink.fill();
        ink.strokeStyle = colours.lock;
        ink.lineWidth = 1.3 * size;
        ink.stroke();
        ink.fillStyle = glyph;
        roundRect(ink, x - 4 * size, y - 0.6 * size, 8 * size, 5.6 * size, 1.2 * size);
        ink.fill();
        ink.beginPath();
        ink.arc(x, y - 1.8 * size, 2.4 * size, Math.PI, 0);
        ink.lineTo(x + 2.4 * size, y);
        ink.moveTo(x - 2.4 * size, y - 1.8 * size);
        ink.lineTo(x - 2.4 * size, y);
        ink.strokeStyle = glyph;
        ink.lineWidth = 1.5 * size;
        ink.stroke();
    }

    function paintHeat(ink, box) {
        const value = heatOf(box);
        if (value === null) {
            return;
        }
        const left = box.x - box.width / 2 + 5;
        const width = box.width - 10;
        const y = box.y + box.height / 2 - 6;
        ink.fillStyle = view.colours["box-line"];
        roundRect(ink, left, y, width, 3.5, 1.75);
        ink.fill();
        ink.fillStyle = heatColour(value);
        roundRect(ink, left, y, Math.max(3.5, width * value), 3.5, 1.75);
        ink.fill();
    }

    /* Of a closed module the mean over those of its layers that have a value. */
    function heatOf(box) {
        if (!view.heat) {
            return null;
        }
        const values = box.layers.map((id) => view.heat[id]).filter((value) => value !== undefined && value !== null);
        return values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null;
    }

    function heatColour(value) {
        const at = Math.min(Math.max(value, 0), 1) * (HEAT.length - 1);
        const low = Math.min(Math.floor(at), HEAT.length - 2);
        const mixed = HEAT[low].map((from, part) => Math.round(from + (HEAT[low + 1][part] - from) * (at - low)));
        return `rgb(${mixed.join(",")})`;
    }

    function roundRect(ink, x, y, width, height, radius) {
        ink.beginPath();
        ink.roundRect(x, y, width, height, radius);
    }

    function outline(ink, box, colour, line, gap) {
        ink.strokeStyle = colour;
        ink.lineWidth = line;
        const [width, height] = [box.width + 2 * gap, box.height + 2 * gap];
        roundRect(ink, box.x - width / 2, box.y - height / 2, width, height, RADIUS + gap);
        ink.stroke();
    }

    /* ---- painting the highlight ------------------------------------------------------------------------- */

    function paintHighlight(ink, near, extent, zoom) {
        const { colours, lit } = view;
        ink.fillStyle = colours.veil;
        ink.fillRect(extent.x1, extent.y1, extent.w, extent.h);
        for (const route of view.routes) {
            if (carries(route)) {
                paintRoute(ink, route);
            }
        }
        const boxes = near.filter((box) => lit.has(box.id));
        for (const box of boxes) {
            paintLit(ink, box, lit.get(box.id), zoom);
        }
    }

    /* The chain: its boxes and edges over the veil, a number on each box whose operation is a step. */
    function paintTrail(ink, near, extent, zoom) {
        const { colours, trail } = view;
        ink.fillStyle = colours.veil;
        ink.fillRect(extent.x1, extent.y1, extent.w, extent.h);
        for (const route of view.routes) {
            if (trail.edges.has(`${route.source} > ${route.target}`)) {
                paintRoute(ink, route);
            }
        }
        for (const box of near.filter((each) => trail.boxes.has(each.id))) {
            const { steps, end } = trail.boxes.get(box.id);
            paintRaised(ink, box, end, zoom);
            if (steps.length) {
                stepBadge(ink, box, steps);
            }
        }
    }

    /* "3", "2, 3" or "2 – 7": which steps of the chain a box holds. */
    function stepBadge(ink, box, steps) {
        const size = enlarged();
        const [first, last] = [steps[0], steps[steps.length - 1]];
        const text = steps.length > 2 ? `${first} – ${last}` : steps.join(", ");
        const font = `700 ${12 * size}px ${FONT}`;
        ink.font = font;
        const width = Math.max(20 * size, ink.measureText(text).width + 12 * size);
        const left = box.x - box.width / 2 - 10 * size;
        const y = box.y - box.height / 2;
        ink.fillStyle = view.colours.accent;
        roundRect(ink, left, y - 10 * size, width, 20 * size, 10 * size);
        ink.fill();
        write(ink, text, left + width / 2, y + 0.5, font, view.colours["on-accent"], "center");
    }

    /* How much larger than in the picture a mark is drawn, so that it can be seen from far. */
    function enlarged() {
        return Math.min(Math.max(0.8 / view.cy.zoom(), 1), 1.7);
    }

    /* An edge belongs to the group when it leaves a member's output side and reaches a member's input side. */
    function carries(route) {
        const source = view.lit.get(route.source);
        const target = view.lit.get(route.target);
        return source && target && source.out && target.in;
    }

    function paintRoute(ink, route) {
        const line = route.line;
        ink.beginPath();
        line.forEach(([x, y], at) => (at ? ink.lineTo(x, y) : ink.moveTo(x, y)));
        ink.strokeStyle = view.colours.accent;
        ink.lineWidth = Math.max(2, route.width);
        ink.lineJoin = "round";
        ink.stroke();
        const [x, y] = line[line.length - 1];
        ink.beginPath();
        ink.moveTo(x, y);
        ink.lineTo(x - 4.5, y - 8.5);
        ink.lineTo(x + 4.5, y - 8.5);
        ink.fillStyle = view.colours.accent;
        ink.fill();
    }

    function paintLit(ink, box, mark, zoom) {
        paintRaised(ink, box, view.home.get(view.selection.layer) === box.id, zoom);
        if (mark.in) {
            paintPort(ink, box, "in");
        }
        if (mark.out) {
            paintPort(ink, box, "out");
        }
        if (box.module) {
            const text = `${mark.count} of ${box.layers.length}`;
            badge(ink, box.x + box.width / 2 - 8, box.y + 5, text, view.colours.accent);
        }
        paintLock(ink, box);
    }

    /* A box over the veil, with a ring where it is chosen. */
    function paintRaised(ink, box, chosen, zoom) {
        const { colours } = view;
        ink.fillStyle = colours[`fill-${box.family}`];
        roundRect(ink, box.x - box.width / 2, box.y - box.height / 2, box.width, box.height, RADIUS);
        ink.fill();
        outline(ink, box, chosen ? colours.accent : colours[`line-${box.family}`], chosen ? 2.5 : 1.5, 0);
        if (chosen) {
            ink.globalAlpha = 0.28;
            outline(ink, box, colours.accent, 5, 3);
            ink.globalAlpha = 1;
        }
        if (view.hovered === box.id) {
            outline(ink, box, colours.accent, 1.5, 1);
        }
        paintText(ink, box, zoom);
    }

    /* f- is a bar along the upper edge with a triangle that points in, f+ one along the lower edge with a dot. */
    function paintPort(ink, box, side) {
        const sign = side === "in" ? -1 : 1;
        const y = box.y + (sign * box.height) / 2;
        const left = box.x - box.width / 2;
        const colour = view.colours[side];
        ink.fillStyle = colour;
        roundRect(ink, left + 7, y - 2.5, box.width - 14, 5, 2.5);
        ink.fill();
        ink.beginPath();
        if (side === "in") {
            ink.moveTo(left + 16, y - 5);
            ink.lineTo(left + 28, y - 5);
            ink.lineTo(left + 22, y + 5);
        } else {
            ink.arc(left + 22, y, 5, 0, 2 * Math.PI);
        }
        ink.fill();
        badge(ink, box.x + box.width / 2 - 6, y, side, colour);
    }

    function badge(ink, right, y, text, colour) {
        ink.font = `700 10px ${FONT}`;
        const width = ink.measureText(text).width + 12;
        const left = right - width;
        ink.fillStyle = colour;
        roundRect(ink, left, y - 7.5, width, 15, 7.5);
        ink.fill();
        write(ink, text, left + width / 2, y + 0.5, `700 10px ${FONT}`, view.colours["on-accent"], "center");
    }

    /* ---- the window on the picture ---------------------------------------------------------------------- */

    function fitWidth() {
        const { cy } = view;
        if (!cy) {
            return;
        }
        const fit = (cy.width() - 2 * MARGIN) / Math.max(view.width, 1);
        const zoom = Math.min(Math.max(fit, FIRST_ZOOM.least), FIRST_ZOOM.most);
        cy.viewport({ zoom, pan: { x: (cy.width() - view.width * zoom) / 2, y: MARGIN } });
    }

    function fitAll() {
        const { cy } = view;
        if (!cy) {
            return;
        }
        const across = (cy.width() - 2 * MARGIN) / Math.max(view.width, 1);
        const down = (cy.height() - 2 * MARGIN) / Math.max(view.height, 1);
        const zoom = Math.min(across, down, FIRST_ZOOM.most);
        const pan = { x: (cy.width() - view.width * zoom) / 2, y: (cy.height() - view.height * zoom) / 2 };
        cy.viewport({ zoom, pan });
    }

    function zoomBy(factor) {
        const { cy } = view;
        if (!cy) {
            return;
        }
        cy.zoom({ level: cy.zoom() * factor, renderedPosition: { x: cy.width() / 2, y: cy.height() / 2 } });
    }

    /* Bring these boxes into the window, all if they can still be read then, else the upper ones. Boxes that are in it
     * stay where they are. */
    function showAll(ids) {
        const { cy } = view;
        const { left, right, top, bottom } = bounds(ids.map((id) => view.boxes.get(id)));
        const seen = cy.extent();
        if (left > seen.x1 && right < seen.x2 && top > seen.y1 && bottom < seen.y2) {
            return;
        }
        const across = (cy.width() - EDGE) / (right - left);
        const down = (cy.height() - 2 * EDGE) / (bottom - top);
        const zoom = Math.max(Math.min(across, down, cy.zoom()), FIRST_ZOOM.least);
        const middle = (cy.height() - (top + bottom) * zoom) / 2;
        cy.viewport({
            zoom,
            pan: { x: (cy.width() - (left + right) * zoom) / 2, y: Math.max(middle, EDGE - top * zoom) },
        });
    }

    function bounds(boxes) {
        return {
            left: Math.min(...boxes.map((box) => box.x - box.width / 2)),
            right: Math.max(...boxes.map((box) => box.x + box.width / 2)),
            top: Math.min(...boxes.map((box) => box.y - box.height / 2)),
            bottom: Math.max(...boxes.map((box) => box.y + box.height / 2)),
        };
    }

    /* Bring a layer or a module into the window if it is outside of it. */
    function show(name, least = 0) {
        const { boxes, frames, home } = view;
        const place = boxes.get(home.get(name)) || boxes.get(`module:${name}`) || frames.get(name);
        if (!place) {
            return;
        }
        const y = frames.has(name) ? place.y - place.height / 2 : place.y;
        const seen = view.cy.extent();
        const rim = Math.min(least, seen.h / 4, seen.w / 4);
        const across = place.x > seen.x1 + rim && place.x < seen.x2 - rim;
        if (across && y > seen.y1 + rim && y < seen.y2 - rim) {
            return;
        }
        const zoom = Math.max(view.cy.zoom(), FIRST_ZOOM.least);
        view.cy.viewport({ zoom, pan: centred(place.x, y, zoom) });
    }

    function centred(x, y, zoom = view.cy.zoom()) {
        return { x: view.cy.width() / 2 - x * zoom, y: view.cy.height() / 2 - y * zoom };
    }

    /* ---- data from the server --------------------------------------------------------------------------- */

    /* Groups by layer; the selection is kept where the layer still exists, with its group looked up again. */
    function setGroups(groups) {
        const { layer, side, group } = view.selection;
        const before = view.groups.groups[group];
        view.groups = groups || NO_GROUPS;
        for (const box of view.boxes.values()) {
            box.padlocks = padlocks(box);
        }
        view.selection = NOTHING;
        view.lit = null;
        if (layer && view.groups.layers[layer]) {
            const same = before ? view.groups.groups.findIndex((each) => each.name === before.name) : -1;
            select(layer, before ? side : null, same >= 0 ? same : null);
        } else if (layer) {
            change(NOTHING);
        }
        hear("groups");
        paint();
    }

    function setHeat(values) {
        view.heat = values || null;
        paint();
    }

    /* Select from outside of the graph: the layer is brought into view, and the modules around it are opened. */
    function focus(wish) {
        if (!wish || !view.groups.layers[wish.layer]) {
            return;
        }
        select(wish.layer, wish.side, wish.group);
        reveal(wish.layer);
    }

    /* Bring a layer into view, with the modules around it opened. */
    function reveal(layer) {
        if (isOpen(layer)) {
            show(layer, EDGE);
        } else if (view.home.has(layer)) {
            view.revealing = layer;
            tell("reveal", { layer, n: Math.round(performance.now()) });
        }
    }

    /* Whether a box of a layer shows it: its own, or the one that it is hidden in. */
    function isOpen(layer) {
        const box = view.boxes.get(view.home.get(layer));
        return Boolean(box) && !box.module;
    }

    function focusGroup(index) {
        const group = view.groups.groups[index];
        if (group) {
            focus({ ...(group.lead || group.members[0]), group: index });
        }
    }

    function state() {
        const { layer, side, group } = view.selection;
        const members = view.groups.groups[group] ? view.groups.groups[group].members : [];
        const lit = new Set(members.map((member) => member.layer).filter((id) => view.home.has(id)));
        return {
            selected: layer,
            side,
            group,
            lit: [...lit],
            litBoxes: view.lit ? [...view.lit.keys()] : [],
            visible: [...view.boxes.keys()],
            opened: [...view.frames.keys()],
            padlocks: Object.fromEntries([...view.boxes.values()].map((box) => [box.id, box.padlocks])),
            chain: view.tie && {
                first: view.tie.first,
                second: view.tie.second,
                steps: view.trail && Object.fromEntries([...view.trail.boxes].map(([id, { steps }]) => [id, steps])),
                edges: view.trail && [...view.trail.edges].filter((id) => !view.cy.getElementById(id).empty()),
            },
        };
    }

    const graph = {
        draw,
        groups: setGroups,
        heat: setHeat,
        select,
        focus,
        focusGroup,
        tie,
        untie,
        chain: setChain,
        reveal,
        clear,
        toggle,
        theme,
        show,
        fitWidth,
        fitAll,
        zoomIn: () => zoomBy(ZOOM_STEP),
        zoomOut: () => zoomBy(1 / ZOOM_STEP),
        state,
        painter,
        when,
        paint,
        announce,
        nextSide,
        centre: (x, y) => view.cy.viewport({ zoom: view.cy.zoom(), pan: centred(x, y) }),
        look: () => view,
        pen: { write, roundRect, outline, enlarged, FONT },
    };
    window.prunescope = Object.assign({}, window.prunescope, { graph });
    window.dash_clientside = Object.assign({}, window.dash_clientside, { graph });
})();
