/* Says so when the server does not answer, and takes it back when it does: the page asks it all the time. */

(function () {
    "use strict";

    const NOTE = "unreachable";
    const ask = window.fetch;

    function tell(unreachable) {
        const note = document.getElementById(NOTE);
        if (note) {
            note.hidden = !unreachable;
        }
    }

    async function watched(...request) {
        try {
            const answer = await ask(...request);
            tell(false);
            return answer;
        } catch (error) {
            // a request that the page itself gives up says nothing of the server
            tell(error.name !== "AbortError");
            throw error;
        }
    }

    window.fetch = watched;
})();
