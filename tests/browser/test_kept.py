"""What survives: a killed server, an address that was sent, a second tab; and the first steps, once."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from prunescope.explorer import ids
from prunescope.explorer.server import serve
from prunescope.explorer.version import Selection
from tests.browser.explorer_page import PATIENCE, Explorer, visited
from tests.browser.opened import cut, digits
from tests.command import running


def test_every_version_is_there_again_after_the_server_was_killed(page: Page, tmp_path: Path) -> None:
    with running(tmp_path, "--no-browser", "--port", "0") as (process, address):
        explorer = Explorer(page, address)
        explorer.tab("Cut")
        explorer.part(ids.APPLY).click()
        strip = explorer.part(ids.VERSION_STRIP)
        expect(strip.locator(".version").nth(1)).to_contain_text("50 % of all groups", timeout=PATIENCE * 1000)
        expect(strip.locator(".version").nth(1)).to_contain_text("% of MACs ·", timeout=PATIENCE * 1000)
        seen = strip.inner_text()
        explorer.leave()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    with running(tmp_path, "--no-browser", "--port", "0") as (process, address):
        explorer = Explorer(page, address)
        assert explorer.part(ids.VERSION_STRIP).inner_text() == seen
        expect(explorer.part(ids.HEAD_NUMBERS)).to_contain_text("→")
        explorer.leave()


def test_an_address_shows_the_view_that_it_was_copied_from(page: Page) -> None:
    session = digits()
    cut(session, 0.5, "half")
    with visited(page, session) as explorer:
        explorer.page.evaluate("layer => prunescope.graph.focus({ layer, side: 'in', group: null })", "layer2.1.conv2")
        explorer.page.wait_for_function("() => prunescope.graph.state().visible.includes('layer2.1.conv2')")
        explorer.tab("Matrix")
        explorer.page.wait_for_function("() => location.hash.includes('matrix') && location.hash.includes('layer2.1')")
        address = explorer.page.url
        session.show(0)
        explorer.leave()
        again = Explorer(page, address)
        again.page.wait_for_function("() => prunescope.graph.state().selected === 'layer2.1.conv2'")
        again.page.wait_for_function("() => prunescope.graph.state().visible.includes('layer2.1.conv2')")
        assert again.state()["side"] == "in"
        expect(again.page.get_by_role("tab", name="Matrix")).to_have_attribute("aria-selected", "true")
        assert session.version.name == "half"


def test_two_tabs_of_one_session_agree_and_two_sessions_do_not_see_each_other(page: Page) -> None:
    mine, other = digits(), digits()
    with visited(page, mine) as first:
        tab = page.context.new_page()
        second = Explorer(tab, mine.url)
        served = serve(other, port=0)
        served.in_background()
        stranger = Explorer(page.context.new_page(), served.url)
        cut(mine, 0.5, "half")
        for explorer in (first, second):
            expect(explorer.part(ids.VERSION_STRIP).locator("[aria-pressed=true]")).to_contain_text("half")
        second.part(ids.UNDO).click()
        expect(first.part(ids.VERSION_STRIP).locator("[aria-pressed=true]")).to_contain_text("original")
        expect(stranger.part(ids.VERSION_STRIP).locator(".version")).to_have_count(1)
        for explorer in (second, stranger):
            explorer.leave()
        served.close()


def test_the_first_steps_are_shown_once_and_again_when_asked_for(browser: Browser) -> None:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    session = digits()
    with visited(context.new_page(), session) as explorer:
        tour = explorer.part(ids.TOUR)
        for step in range(1, 6):
            expect(tour).to_contain_text(f"{step} of 5")
            tour.locator(".primary").click()
        expect(tour).to_be_hidden()
        again = Explorer(context.new_page(), explorer.page.url)
        expect(again.part(ids.TOUR)).to_be_hidden()
        again.page.keyboard.press("?")
        again.part(ids.TOUR_AGAIN).click()
        expect(again.part(ids.TOUR)).to_contain_text("1 of 5")
        again.page.get_by_role("button", name="Skip").click()
        expect(again.part(ids.TOUR)).to_be_hidden()
        again.leave()
    context.close()


def test_what_is_clicked_on_the_page_is_the_sessions_selection_and_the_other_way_round(page: Page) -> None:
    session = digits()
    with visited(page, session) as explorer:
        explorer.click("conv1")
        expect(explorer.part(ids.GROUP_HEAD)).to_contain_text("conv1")
        page.wait_for_timeout(500)
        assert session.selection == Selection("conv1", "out")
        session.select("layer1.0.conv2", "in")
        page.wait_for_function("() => prunescope.graph.state().selected === 'layer1.0.conv2'")
        page.evaluate("prunescope.graph.select('bn1')")
        page.wait_for_timeout(1000)
        assert explorer.state()["selected"] == "bn1"
        assert session.selection == Selection("bn1", "out")


def test_first_steps_in_a_frame_leave_the_keyboard_to_the_page_around(browser: Browser) -> None:
    served = serve(digits(), port=0)
    served.in_background()
    page = browser.new_context().new_page()
    around = f"{served.url}around"
    html = '<input id="cell" autofocus><iframe src="/" width="1300" height="800"></iframe>'
    page.route(around, lambda route: route.fulfill(content_type="text/html", body=html))
    page.goto(around)
    expect(page.frame_locator("iframe").locator(f"#{ids.TOUR}")).to_contain_text("1 of 5", timeout=PATIENCE * 1000)
    page.keyboard.type("x")
    expect(page.locator("#cell")).to_have_value("x")
    page.goto("about:blank")
    page.context.close()
    served.close()
