/* The first steps: five short texts beside what they tell of, shown once; they can be skipped, and read again from Help. */

(function () {
    "use strict";

    const KEY = "prunescope-tour";
    const STEPS = [
        ["#graph", "The network", "Data flows from top to bottom. Double-click a module to open it; move with the wheel, zoom with Ctrl and the wheel."],
        ["#graph", "What goes together", "Click a layer: every layer that has to be cut with it lights up, with its input and output sides marked. Shift-click a second one to see why."],
        ["[role=tab][id$=importance]", "What matters", "Importance shows every unit of the group in every layer. Drag the line, or click units, to choose what goes."],
        ["[role=tab][id$=cut]", "Cut", "Drag the slider: parameters, MACs and the widths on the graph follow. Apply makes a new, verified version; the original stays."],
        ["#version-strip", "Compare", "Every version stands here. Go back, branch, and see under Compare what was gained and lost."],
    ];
    const tour = { at: 0 };

    function done() {
        try {
            return window.localStorage.getItem(KEY) === "done";
        } catch {
            return true; // no storage in a sandboxed frame: it would come again each time
        }
    }

    function end() {
        try {
            window.localStorage.setItem(KEY, "done");
        } catch {
            // as above
        }
        document.getElementById("tour").hidden = true;
        mark(null);
    }

    function mark(target) {
        document.querySelectorAll(".tour-target").forEach((each) => each.classList.remove("tour-target"));
        if (target) {
            target.classList.add("tour-target");
        }
    }

    function button(text, action, className = "button") {
        const made = Object.assign(document.createElement("button"), { type: "button", textContent: text, className });
        made.addEventListener("click", action);
        return made;
    }

    function line(tag, text) {
        return Object.assign(document.createElement(tag), { textContent: text });
    }

    function show(at) {
        tour.at = at;
        const [selector, title, text] = STEPS[at];
        const host = document.getElementById("tour");
        const last = at === STEPS.length - 1;
        const buttons = document.createElement("div");
        buttons.className = "tour-buttons";
        buttons.append(
            line("span", `${at + 1} of ${STEPS.length}`),
            ...(last ? [] : [button("Skip", end)]),
            button(last ? "Done" : "Next", () => (last ? end() : show(at + 1)), "button primary"),
        );
        host.replaceChildren(line("b", title), line("p", text), buttons);
        host.hidden = false;
        mark(document.querySelector(selector));
        // a frame in a notebook does not take the keyboard from it
        if (at > 0 || window.self === window.top) {
            buttons.lastElementChild.focus({ preventScroll: true });
        }
    }

    function start() {
        if (!done()) {
            show(0);
        }
    }

    document.addEventListener("keydown", (event) => {
        const host = document.getElementById("tour");
        if (event.key === "Escape" && host && !host.hidden) {
            event.stopPropagation();
            end();
        }
    }, { capture: true });

    window.dash_clientside = Object.assign({}, window.dash_clientside, { tour: { start, again: () => show(0) } });
})();
