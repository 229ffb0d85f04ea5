/* The Cut panel's echo: parameters and MACs that are left, while the slider moves. Answers in the browser. */

(function () {
    "use strict";

    const SLACK = 1e-9; // as the core has it: 29 % of 100 units are 29, whatever binary fractions say
    const SETTLED = 250; // ms without a new wish before the server is asked
    const HALVINGS = 34; // of the interval of shares, to less than the slack

    /** How many of `size` units a cut of this share takes: rounded down, never all. */
    function taken(size, share) {
        return Math.min(Math.floor(size * (share + SLACK)), size - 1);
    }

    /** Map from group to the number of units that a cut of the whole model takes. */
    function ofAll(ledger, share) {
        const removed = new Map(ledger.all.map((group) => [group, 0]));
        for (const [total, order] of ledger.classes) {
            if (!Array.isArray(order)) {
                removed.set(order, taken(total, share));
                continue;
            }
            const count = Math.min(Math.floor(total * (share + SLACK)), order.length);
            for (let n = 0; n < count; n += 1) removed.set(order[n], removed.get(order[n]) + 1);
        }
        return rounded(ledger, removed);
    }

    /** Fewer units go where sizes are rounded. */
    function rounded(ledger, removed) {
        for (const [group, count] of removed) {
            const step = ledger.steps[group] || 1;
            const left = Math.ceil((ledger.sizes[group] - count) / step) * step;
            removed.set(group, Math.max(ledger.sizes[group] - left, 0));
        }
        return removed;
    }

    /** Map from group to units for a cut of the whole model, or of one group. */
    function removal(ledger, group, share) {
        if (group === null) return ofAll(ledger, share);
        return rounded(ledger, new Map([[group, taken(ledger.sizes[group], share)]]));
    }

    /** The smallest cut that leaves at most `left` of a quantity, or the largest one where none does. */
    function reaching(ledger, group, aim, left) {
        const wanted = left * cost(ledger, new Map())[aim];
        let [low, high] = [0, 1];
        for (let n = 0; n < HALVINGS; n += 1) {
            const middle = (low + high) / 2;
            if (cost(ledger, removal(ledger, group, middle))[aim] <= wanted) high = middle;
            else low = middle;
        }
        return partly(ledger, removal(ledger, group, low), removal(ledger, group, high), aim, wanted);
    }

    /** Of the groups that lose units at once between two cuts only as many as it takes, in the order of their numbers. */
    function partly(ledger, before, after, aim, wanted) {
        const more = [...after.keys()].filter((group) => after.get(group) > before.get(group)).sort((a, b) => a - b);
        for (const group of more) {
            if (cost(ledger, before)[aim] <= wanted) break;
            before.set(group, after.get(group));
        }
        return before;
    }

    let asking = 0; // the timer of a question to the server

    /** A cut as the server fits it to the sizes that the model's code ties, as soon as it has answered. */
    function fitting(ledger, removed, question, answered) {
        if (!ledger.tied) return removed;
        const key = JSON.stringify(question);
        clearTimeout(asking);
        if (!answered || answered.key !== key) {
            const ask = () => window.dash_clientside.set_props("tied-wish", { data: { ...question, key } });
            asking = setTimeout(ask, SETTLED);
            return removed;
        }
        return answered.removed ? new Map([...[...removed.keys()].map((group) => [group, 0]), ...answered.removed]) : removed;
    }

    /** The units of a cut as they are after what was picked by hand goes or stays: Map from group to a number. */
    function withPicks(removed, picks, groups) {
        const after = new Map(removed);
        for (const [name, { cut, keep, order }] of Object.entries(picks)) {
            const group = groups.groups.findIndex((each) => each.name === name);
            const lowest = order.slice(order.length - (removed.get(group) || 0));
            const gone = new Set([...lowest, ...cut]);
            keep.forEach((unit) => gone.delete(unit));
            if (gone.size || removed.has(group)) after.set(group, gone.size);
        }
        return after;
    }

    /** What a wish of the panel takes. */
    function answer(ledger, wish, group) {
        const share = wish.percent / 100;
        return wish.aim === "ratio" ? removal(ledger, group, share) : reaching(ledger, group, wish.aim, share);
    }

    /** Sizes of all counted dimensions when `removed[g]` units of each group are gone. */
    function sizes(ledger, removed) {
        return ledger.dims.map(([size, parts]) =>
            parts.reduce((left, [group, each]) => {
                const n = removed.get(group) || 0;
                return left - (Array.isArray(each) ? each[n] : each * n);
            }, size),
        );
    }

    function total(products, size) {
        return products.reduce((sum, [factor, ...dims]) => sum + dims.reduce((p, d) => p * size[d], factor), 0);
    }

    /** {parameters, macs, bytes} left after `removed`, a Map from group index to a number of units. */
    function cost(ledger, removed) {
        const size = sizes(ledger, removed);
        return {
            parameters: total(ledger.parameters, size),
            macs: total(ledger.macs, size),
            bytes: total(ledger.bytes, size),
        };
    }

    /** The share of the latency that is left, as the fitted model has it. */
    function latency(ledger, removed) {
        const size = sizes(ledger, removed);
        const none = sizes(ledger, new Map());
        const left = ["macs", "activations", "bytes"].map((name) => total(ledger[name], size) / (total(ledger[name], none) || 1));
        const [constant, ...weights] = ledger.latency.weights;
        return weights.reduce((sum, weight, at) => sum + weight * left[at], constant);
    }

    /** Layer -> [width before, width after] for layers that get narrower. */
    function widths(ledger, removed) {
        const before = ledger.widths.map(([size]) => size);
        const after = sizes({ dims: ledger.widths }, removed);
        const entries = Object.entries(ledger.layers).map(([layer, at]) => [layer, [before[at], after[at]]]);
        return Object.fromEntries(entries.filter(([, [was, is]]) => was !== is));
    }

    function quantity(value) {
        for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["k", 1e3]]) {
            if (value >= 0.9995 * size) return `${Number((value / size).toPrecision(3))} ${unit}`;
        }
        return `${value}`;
    }

    function row(name, before, after, said = `${quantity(before)} → ${quantity(after)}`) {
        const left = before ? Math.round((100 * after) / before) : 100;
        const share = after > 0 && left < 1 ? "under 1" : left;
        const item = (type, text, className) => ({
            namespace: "dash_html_components",
            type,
            props: { children: text, className },
        });
        const bar = {
            namespace: "dash_html_components",
            type: "Div",
            props: {
                className: "preview-bar",
                children: { namespace: "dash_html_components", type: "Div", props: { style: { width: `${left}%` } } },
            },
        };
        return {
            namespace: "dash_html_components",
            type: "Div",
            props: {
                className: "preview-row",
                children: [
                    item("Span", name, "muted"),
                    item("B", said),
                    item("Span", `${share} % left`, "muted"),
                    bar,
                ],
            },
        };
    }

    function note(text) {
        return { namespace: "dash_html_components", type: "P", props: { className: "muted", children: text } };
    }

    /** The cut that the panel's wish takes, or a word on why there is none to preview. */
    function wished(wish, selection, ledger, units, groups, answered) {
        if (!ledger || !wish) return "Counting …";
        // a message says why units cannot be rated so
        if (!ledger.sizes) return null;
        const group = selection && selection.group !== undefined ? selection.group : null;
        const one = wish.where === "group";
        if (one && group === null) return "Click a layer to see what a cut of its group leaves.";
        if (!one && !ledger.all.length) return null;
        // the line under Apply says why
        if (sharesNothingOut(wish) || (one && ledger.sizes[group] === undefined)) return null;
        if (wish.aim === "latency") return note("Apply times some cuts beside the original, and corrects the one it takes.");
        const picked = units && units.version === ledger.version ? units : null;
        const taken = answer(ledger, wish, one ? group : null);
        const removed = picked ? withPicks(taken, picked.picks, groups) : taken;
        const question = { version: ledger.version, wish, selection: one ? selection : null, units: picked };
        return fitting(ledger, removed, question, answered);
    }

    function preview(wish, selection, ledger, units, tab, answered, groups) {
        const removed = wished(wish, selection, ledger, units, groups, answered);
        const cut = removed instanceof Map ? removed : null;
        window.prunescope.marks.planned(cut && tab === "cut" ? widths(ledger, cut) : null);
        if (!cut) return [removed, ""];
        const before = cost(ledger, new Map());
        const after = cost(ledger, cut);
        return [told(ledger, cut, before, after, units), outOfReach(wish, before, after)];
    }

    /** Why the aim cannot be had; "" where it can. */
    function outOfReach(wish, before, after) {
        if (wish.aim === "ratio" || after[wish.aim] <= (wish.percent / 100) * before[wish.aim]) return "";
        const least = Math.ceil((1000 * after[wish.aim]) / before[wish.aim]) / 10;
        return `Out of reach: ${least} % is the least that can be left. Move the slider to the right.`;
    }

    function told(ledger, removed, before, after, units) {
        const count = [...removed.values()].reduce((a, b) => a + b, 0).toLocaleString("en");
        const of = [...removed.keys()].reduce((a, each) => a + ledger.sizes[each], 0).toLocaleString("en");
        const groups = `${removed.size} group${removed.size > 1 ? "s" : ""}`;
        const byHand = units && Object.keys(units.picks).length ? ", with what is picked under Importance" : "";
        return [
            row("Parameters", before.parameters, after.parameters),
            row("MACs", before.macs, after.macs),
            ...(ledger.latency ? [latencyRow(ledger, removed)] : []),
            note(`${count} of ${of} units in ${groups} go${byHand}`),
        ];
    }

    function latencyRow(ledger, removed) {
        const { ms } = ledger.latency;
        const after = ms * latency(ledger, removed);
        return row("Latency, predicted", ms, after, `${Number(ms.toPrecision(3))} → ${Number(after.toPrecision(3))} ms`);
    }

    /** What the slider says. */
    function aimed(aim, ranked, percent) {
        if (aim !== "ratio") return `Share that is left, at most: ${percent} %`;
        return `Share of ${ranked === "local" ? "each group's" : "the"} units that goes: ${percent} %`;
    }

    /** The panel's controls as one record. */
    function wish(percent, where, criterion, aim, ranked, round) {
        return { percent, where, criterion, aim, ranked, round_to: Number(round) };
    }

    function running(job) {
        return Boolean(job) && !job.over;
    }

    /** Whether the aim is one that a sweep cannot be asked for. */
    function sharesNothingOut(wish) {
        return wish.where === "all" && wish.ranked === "sensitivity" && ["ratio", "latency"].includes(wish.aim);
    }

    /** Why Apply cannot be pressed; "" where it can. Asks the groups, which are there before the ledger is. */
    function obstacle(wish, selection, groups, job, unreachable) {
        if (running(job)) return `Apply waits for the job that is running: ${job.title}.`;
        if (!groups || !wish) return "Reading the groups …";
        const group = selection && groups.groups[selection.group];
        const one = wish.where === "group";
        if (one && !group) return "Click a layer to choose its group.";
        if (one && group.lock) return `${group.name} is locked: ${group.lock}.`;
        const open = one ? [group] : groups.groups.filter((each) => !each.lock);
        if (!open.length) return "No group of this model can be cut.";
        if (sharesNothingOut(wish)) return "The sweep shares out MACs, parameters or bytes: aim at one of them.";
        if (wish.aim !== "ratio" && !wish.percent) return "Something has to be left: move the slider to the right.";
        if (unreachable) return unreachable;
        const local = wish.aim === "ratio" && (one || wish.ranked === "local");
        if (local && !open.some((each) => taken(each.size, wish.percent / 100))) {
            return "This share removes no unit: choose a larger one.";
        }
        return "";
    }

    let followed = null; // the job that was brought into view

    /** A job's progress stands below what starts it: bring it into view once, where its panel is open. */
    function follow(job) {
        if (!running(job) || job.id === followed) return;
        followed = job.id;
        setTimeout(() => document.getElementById("job").scrollIntoView({ block: "nearest" }), SETTLED);
    }

    /** [Apply is off, why, Cancel is hidden] */
    function buttons(wish, selection, groups, job, unreachable) {
        follow(job);
        const why = obstacle(wish, selection, groups, job, unreachable);
        return [why !== "", why, !running(job)];
    }

    /** [off, for each button that starts some training]: while a job runs, and what the session has nothing for. */
    function idle(job, able) {
        return able.map((can) => running(job) || !can);
    }

    /** An error stands below what was pressed. */
    function said(message) {
        if (message) setTimeout(() => document.getElementById("message").scrollIntoView({ block: "nearest" }), 0);
    }

    window.prunescope = Object.assign({}, window.prunescope, { cut: { cost, taken, answer, widths, withPicks } });
    window.dash_clientside = Object.assign({}, window.dash_clientside, { cut: { preview, buttons, idle, said, aimed, wish } });
})();
