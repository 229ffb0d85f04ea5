/* The Cut panel's echo: parameters and MACs that are left, while the slider moves. Answers in the browser. */

(function () {
    "use strict";

    /** How many of `size` units a cut of `percent` takes: rounded down, in the core's own arithmetic. */
    function share(size, percent) {
        return Math.floor(size * (percent / 100));
    }

    function taken(ledger, g, percent) {
        return share(ledger.sizes[g], percent);
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

    /** {parameters, macs} left after `removed`, a Map from group index to a number of units. */
    function cost(ledger, removed) {
        const size = sizes(ledger, removed);
        return { parameters: total(ledger.parameters, size), macs: total(ledger.macs, size) };
    }

    function quantity(value) {
        for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["k", 1e3]]) {
            if (value >= 0.9995 * size) return `${Number((value / size).toPrecision(3))} ${unit}`;
        }
        return `${value}`;
    }

    function row(name, before, after) {
        const left = before ? Math.round((100 * after) / before) : 100;
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
                    item("B", `${quantity(before)} → ${quantity(after)}`),
                    item("Span", `${left} % left`, "muted"),
                    bar,
                ],
            },
        };
    }

    /** The groups that the cut takes: those of the whole model, or the one that is selected. */
    function chosen(ledger, scope, selection) {
        if (scope === "all") return ledger.all;
        const group = selection && selection.group;
        return group === null || group === undefined ? [] : [group];
    }

    function preview(percent, scope, selection, ledger) {
        if (!ledger) return "Counting …";
        const wanted = chosen(ledger, scope, selection);
        if (!wanted.length) return scope === "group" ? "Click a layer to see what a cut of its group leaves." : null;
        // the line under Apply says why
        if (wanted.some((group) => ledger.sizes[group] === undefined)) return null;
        const removed = new Map(wanted.map((group) => [group, taken(ledger, group, percent)]));
        const before = cost(ledger, new Map());
        const after = cost(ledger, removed);
        const units = [...removed.values()].reduce((a, b) => a + b, 0);
        const of = wanted.reduce((a, group) => a + ledger.sizes[group], 0);
        return [
            row("Parameters", before.parameters, after.parameters),
            row("MACs", before.macs, after.macs),
            {
                namespace: "dash_html_components",
                type: "P",
                props: { className: "muted", children: `${percent} %: ${units.toLocaleString("en")} of ${of.toLocaleString("en")} units in ${wanted.length} group${wanted.length > 1 ? "s" : ""} go` },
            },
        ];
    }

    function running(job) {
        return Boolean(job) && !job.over;
    }

    /** Why Apply cannot be pressed; "" where it can. Asks the groups, which are there before the ledger is. */
    function obstacle(percent, scope, selection, groups, job) {
        if (running(job)) return `Apply waits for the job that is running: ${job.title}.`;
        if (!groups) return "Reading the groups …";
        const group = selection && groups.groups[selection.group];
        if (scope === "group" && !group) return "Click a layer to choose its group.";
        if (scope === "group" && group.lock) return `${group.name} is locked: ${group.lock}.`;
        const open = scope === "group" ? [group] : groups.groups.filter((each) => !each.lock);
        if (!open.length) return "No group of this model can be cut.";
        if (!open.some((each) => share(each.size, percent))) return "This share removes no unit: choose a larger one.";
        return "";
    }

    /** [Apply is off, why, Cancel is hidden] */
    function buttons(percent, scope, selection, groups, job) {
        const why = obstacle(percent, scope, selection, groups, job);
        return [why !== "", why, !running(job)];
    }

    window.prunescope = Object.assign({}, window.prunescope, { cut: { cost, taken } });
    window.dash_clientside = Object.assign({}, window.dash_clientside, { cut: { preview, buttons } });
})();
