/* Why two layers go together: the choice of the second layer, and the ways out of the chain. */

(function () {
    "use strict";

    const SECOND = "why-second";

    function graph() {
        return window.prunescope.graph;
    }

    /* The selected layer is among them: the Select forgets what is being typed whenever its options change. */
    function options(groups) {
        return Object.keys((groups && groups.layers) || {});
    }

    function hidden(selection) {
        return !(selection && selection.layer);
    }

    function ask(second) {
        if (!second) {
            graph().untie();
        } else if (second === graph().state().selected) {
            say(null);
        } else {
            graph().tie(second);
        }
    }

    /** The choice says what the graph shows, whoever asked for it. */
    function say(second) {
        window.dash_clientside.set_props(SECOND, { value: second });
    }

    document.addEventListener("click", (event) => {
        const chosen = event.target.closest("#group-panel :is([data-second], [data-reveal], [data-leave])");
        if (!chosen) {
            return;
        }
        const { second, reveal, leave } = chosen.dataset;
        if (second) {
            graph().tie(second);
        } else if (reveal) {
            graph().reveal(reveal);
        } else if (leave) {
            graph().untie();
        }
    });

    // before the graph hears it: the first Escape leaves the chain, the next one the selection
    document.addEventListener(
        "keydown",
        (event) => {
            const covered = document.querySelector("[aria-modal=true]");
            const busy = covered || event.target.closest("[role=dialog], [aria-expanded=true]");
            if (event.key === "Escape" && !busy && graph().state().chain) {
                graph().untie();
                event.stopPropagation();
            }
        },
        { capture: true },
    );

    window.prunescope = Object.assign({}, window.prunescope, { why: { say } });
    window.dash_clientside = Object.assign({}, window.dash_clientside, { why: { options, hidden, ask } });
})();
