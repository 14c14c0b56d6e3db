"""The demo in English and French: the page, and what the handlers say."""

from playwright.sync_api import expect

from tests.browser.window import DemoWindow, OpenDemo

IN_FRENCH = ["La connexion est établie.", "Vous êtes dans room-1."]
IN_ENGLISH = ["You are connected.", "You are in room-1."]


def assert_is_in_french(window: DemoWindow) -> None:
    expect(window.page.locator("html")).to_have_attribute("lang", "fr")
    expect(window.page.get_by_role("heading")).to_have_text("Salon 1")
    expect(window.page.get_by_label("Votre message")).to_be_visible()
    expect(window.state).to_have_text("En ligne")
    expect(window.system_info).to_have_text(IN_FRENCH)


class TestTheLanguage:
    def test_is_the_one_that_the_browser_asks_for(self, open_demo: OpenDemo) -> None:
        assert_is_in_french(open_demo(locale="fr-CA"))

    def test_is_english_for_browsers_that_ask_for_another(self, open_demo: OpenDemo) -> None:
        window = open_demo(locale="de-DE")
        expect(window.page.locator("html")).to_have_attribute("lang", "en")
        expect(window.system_info).to_have_text(IN_ENGLISH)

    def test_can_be_switched_and_stays(self, open_demo: OpenDemo) -> None:
        window = open_demo(locale="en-GB")
        window.page.get_by_role("button", name="FR (Français)").click()
        assert_is_in_french(window)
        window.page.reload()
        assert_is_in_french(window)
        window.page.get_by_role("button", name="EN (English)").click()
        expect(window.system_info).to_have_text(IN_ENGLISH)

    def test_is_each_windows_own(self, open_demo: OpenDemo) -> None:
        french, english = open_demo(locale="fr-FR"), open_demo(locale="en-GB")
        french.page.get_by_label("Votre message").fill("Bonjour")
        french.page.get_by_role("button", name="Envoyer").click()
        expect(english.speakers).to_have_text("Anonyme")
        expect(english.said).to_have_text(["Bonjour"])
        expect(english.system_info).to_have_text(IN_ENGLISH)
        expect(french.system_info).to_have_text(IN_FRENCH)
