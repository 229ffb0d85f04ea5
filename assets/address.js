/* The address of the page says what it shows, so that a view can be sent: #version=2&layer=conv1&side=in&open=layer1,layer2
 * &panel=cut. It is read once, when the first picture is there, and written whenever something changes.
 */

(function () {
    "use strict";

    const address = { read: false };

    function write(shown, selection, opened, panel) {
        if (!address.read) {
            return;
        }
        const parts = new URLSearchParams();
        parts.set("version", shown);
        if (selection && selection.layer) {
            parts.set("layer", selection.layer);
            parts.set("side", selection.side);
        }
        parts.set("open", (opened || []).join(","));
        if (panel !== "group") {
            parts.set("panel", panel);
        }
        const text = `#${parts.toString().replaceAll("%2C", ",")}`;
        if (window.location.hash !== text) {
            window.history.replaceState(window.history.state, "", text);
        }
    }

    function read() {
        const parts = new URLSearchParams(window.location.hash.slice(1));
        const { set_props: set } = window.dash_clientside;
        address.read = true;
        if (![...parts.keys()].length) {
            return;
        }
        const version = Number(parts.get("version"));
        const opened = parts.has("open") ? parts.get("open").split(",").filter(Boolean) : null;
        set("address", { data: { version: Number.isInteger(version) ? version : null, opened } });
        if (parts.has("panel")) {
            set("panel-tabs", { value: parts.get("panel") });
        }
        if (parts.has("layer")) {
            const wish = { layer: parts.get("layer"), side: parts.get("side") === "in" ? "in" : "out", group: null };
            // the version's own groups come with it
            window.setTimeout(() => window.prunescope.graph.focus(wish), 600);
        }
    }

    window.dash_clientside = Object.assign({}, window.dash_clientside, { address: { write, read } });
})();
