/* The list of groups: made of what the graph knows, filtered and marked without asking the server. */

(function () {
    "use strict";

    const HOST = "group-list";
    const view = { groups: null, selected: null };

    function element(tag, className, text) {
        const made = document.createElement(tag);
        made.className = className;
        made.textContent = text || "";
        return made;
    }

    function count(number, what) {
        return `${number} ${what}${number === 1 ? "" : "s"}`;
    }

    /* A name that may be broken after a dot or an underscore, and nowhere else unless it has to. */
    function named(name) {
        const made = document.createElement("b");
        const parts = name.split(/(?<=[._])(?=\w)/);
        made.append(...parts.flatMap((part, at) => (at ? [document.createElement("wbr"), part] : [part])));
        return made;
    }

    function button(group, index) {
        const made = element("button", group.lock ? "group-button locked" : "group-button");
        const units = `${group.size} ${group.kind}`;
        made.type = "button";
        made.dataset.group = index;
        made.title = group.lock ? `${group.name}\nCannot be cut: ${group.lock}` : group.name;
        const name = named(group.name || "(model)");
        if (group.lock) {
            name.prepend(element("span", "lock-icon"));
        }
        const what = group.lock ? `locked, ${units}` : `${units}, ${count(group.members.length, "layer")}`;
        made.append(name, element("span", "", what));
        return made;
    }

    /* By its name, or by a layer of its own that the search has found. */
    function fits(group, wanted, found) {
        return group.name.toLowerCase().includes(wanted) || group.members.some((member) => found.has(member.layer));
    }

    function emptyText(text) {
        const none = "This model has no groups: no two of its layers are coupled by units.";
        return text ? `No group with \u201c${text}\u201d in its name or layers.` : none;
    }

    /* All groups, or those that fit the search, which has found these layers. */
    function list(record, text, found) {
        const host = document.getElementById(HOST);
        if (!record || !host) {
            return;
        }
        view.groups = record.groups;
        const wanted = (text || "").trim().toLowerCase();
        const shown = record.groups.map((group, index) => [group, index]).filter(([group]) => fits(group, wanted, found));
        const buttons = shown.map(([group, index]) => button(group, index));
        host.replaceChildren(...(buttons.length ? buttons : [element("div", "empty", emptyText(text))]));
        host.onclick = pick;
        mark(view.selected);
    }

    function pick(event) {
        const chosen = event.target.closest("[data-group]");
        if (chosen) {
            window.prunescope.graph.focusGroup(Number(chosen.dataset.group));
        }
    }

    /* Mark the group of the selection and bring it into the window of the list. */
    function mark(selection) {
        view.selected = selection;
        const host = document.getElementById(HOST);
        for (const each of host ? host.querySelectorAll("[data-group]") : []) {
            const chosen = Boolean(selection) && selection.group === Number(each.dataset.group);
            each.classList.toggle("chosen", chosen);
            each.setAttribute("aria-pressed", String(chosen));
            if (chosen) {
                each.scrollIntoView({ block: "nearest" });
            }
        }
    }

    window.prunescope = Object.assign({}, window.prunescope, { groups: { list } });
    window.dash_clientside = Object.assign({}, window.dash_clientside, { groups: { mark } });
})();
