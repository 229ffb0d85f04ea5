/* The search: words that must all fit, over layers and groups. What is found is listed, and marked in the graph.
 *
 * A word is part of a name or kind; a family (conv, linear, ...); locked or free; group:3 or group:name; or a number of
 * a layer with a comparison, as in channels>256, macs>=1M.
 */

(function () {
    "use strict";

    const FIELDS = { channels: "width", width: "width", parameters: "parameters", params: "parameters", macs: "macs" };
    const COMPARED = {
        ">": (a, b) => a > b,
        "<": (a, b) => a < b,
        ">=": (a, b) => a >= b,
        "<=": (a, b) => a <= b,
        "=": (a, b) => a === b,
    };
    const SIZES = { k: 1e3, m: 1e6, g: 1e9 };
    const FAMILIES = ["conv", "linear", "norm", "activation", "pool", "elementwise", "concat"];
    const HINT = "try conv, locked, free, group:3, channels>256, macs>1M";
    const now = { text: "", layers: null, groups: null, found: [], at: -1 };

    /* The text as tests of (layer id, its record, the groups' record). */
    function tests(text) {
        return text.trim().toLowerCase().split(/\s+/).filter(Boolean).map(test);
    }

    const COMPARISON = /^([a-z]+)(>=|<=|>|<|=)(\d+\.?\d*|\.\d+)([kmg]?)$/;

    /* Words with a sign of comparison, or "group:", that say nothing. */
    function misread(text) {
        const words = text.trim().toLowerCase().split(/\s+/);
        const compared = (word) => COMPARISON.exec(word);
        return words.filter((word) => (/[<>=]/.test(word) && !(compared(word) && FIELDS[compared(word)[1]])) || word === "group:");
    }

    function test(word) {
        const number = COMPARISON.exec(word);
        if (number && FIELDS[number[1]]) {
            const [, field, sign, digits, unit] = number;
            const wanted = Number(digits) * (SIZES[unit] || 1);
            return (id, layer) => COMPARED[sign](layer[FIELDS[field]], wanted);
        }
        if (word.startsWith("group:")) {
            const wanted = word.slice("group:".length);
            return (id, layer, groups) => {
                const exact = groups.groups.some((group) => group.name.toLowerCase() === wanted);
                return held(groups, id).some((at) => isGroup(groups.groups[at], at, wanted, exact));
            };
        }
        if (word === "locked") {
            return (id, layer, groups) => Boolean((groups.locked || {})[id]);
        }
        if (word === "free") {
            return (id, layer, groups) => !(groups.locked || {})[id] && held(groups, id).length > 0;
        }
        if (FAMILIES.includes(word)) {
            return (id, layer) => layer.family === word || layer.kind.toLowerCase().includes(word);
        }
        return (id, layer) => id.toLowerCase().includes(word) || layer.kind.toLowerCase().includes(word);
    }

    /* By its number, by its whole name where there is one of that name, else by a part of it. */
    function isGroup(group, at, wanted, exact) {
        const name = group.name.toLowerCase();
        if (/^\d+$/.test(wanted)) {
            return at === Number(wanted);
        }
        return exact ? name === wanted : name.includes(wanted);
    }

    /* The groups that a layer has a part in: as it runs, or by its weights. */
    function held(groups, id) {
        const { out, in: into } = groups.layers[id] || {};
        const more = (groups.shared || {})[id] || {};
        const members = groups.members || (groups.members = byMember(groups));
        const all = [out, into, ...(more.out || []), ...(more.in || []), ...(members.get(id) || [])];
        return all.filter((at) => at !== null && at !== undefined);
    }

    function byMember(groups) {
        const found = new Map();
        groups.groups.forEach((group, at) => {
            for (const { layer } of group.members) {
                found.set(layer, [...(found.get(layer) || []), at]);
            }
        });
        return found;
    }

    function find(text, layers, groups) {
        const wanted = tests(text);
        const fits = ([id, layer]) => wanted.every((each) => each(id, layer, groups));
        return wanted.length ? Object.entries(layers).filter(fits).map(([id]) => id) : [];
    }

    function run(text, layers, groups) {
        if (!layers || !groups) {
            return;
        }
        const same = now.text === (text || "");
        Object.assign(now, { text: text || "", layers, groups, found: find(text || "", layers, groups) });
        now.at = same ? Math.min(now.at, now.found.length - 1) : -1;
        const { groups: list, tree, marks } = window.prunescope;
        const searching = Boolean(now.text.trim());
        list.list(groups, now.text, new Set(now.found));
        tree.search(searching ? now.found : null);
        marks.find(now.found, null);
        say(searching);
    }

    /* "3 of 12 layers", or that there is none. */
    function say(searching) {
        const line = document.getElementById("search-state");
        const count = now.found.length;
        const which = now.at >= 0 ? `${now.at + 1} of ` : "";
        const next = count ? " · Enter: next" : "";
        const odd = misread(now.text);
        if (searching && odd.length) {
            line.textContent = `${odd[0]} is not understood: ${HINT}`;
            return;
        }
        line.textContent = searching ? `${which}${count} ${count === 1 ? "layer" : "layers"}${next}` : "";
    }

    function step(by) {
        if (!now.found.length) {
            return;
        }
        now.at = (now.at + by + now.found.length) % now.found.length;
        const layer = now.found[now.at];
        window.prunescope.marks.find(now.found, layer);
        window.prunescope.graph.focus({ layer, side: null, group: null });
        say(true);
    }

    document.addEventListener("keydown", (event) => {
        if (event.target.id !== "search") {
            return;
        }
        if (event.key === "Enter") {
            step(event.shiftKey ? -1 : 1);
        } else if (event.key === "Escape") {
            window.dash_clientside.set_props("search", { value: "" });
            event.target.blur();
        }
    });

    window.prunescope = Object.assign({}, window.prunescope, { search: { find } });
    window.dash_clientside = Object.assign({}, window.dash_clientside, { search: { run } });
})();
