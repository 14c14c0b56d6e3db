"""``python manage.py socketio_doctor URL``: what a site's proxy or processes have wrong."""

import json
import sys
from typing import Any

import msgspec
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.urls import reverse

from socketio_server import health
from socketio_server.doctor.examination import Examination, Finding
from socketio_server.doctor.site import Site


class Command(BaseCommand):
    """The command ``socketio_doctor``."""

    help = (
        "Examines a running site as browsers come to it, and tells what is wrong, with the lines "
        "of nginx's configuration to change. Exits with status 1 if anything is."
    )
    requires_system_checks = ()  # the site is examined, and not this process

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the command's own arguments."""
        parser.add_argument("url", help="the site, as https://www.example.com")
        parser.add_argument(
            "--idle",
            type=float,
            metavar="SECONDS",
            help="how long to keep silent; by default 5 s longer than the ping interval",
        )
        parser.add_argument("--origin", help="the origin of its pages, if they are elsewhere")
        parser.add_argument(
            "--cookie", help="the cookie of a user, as sessionid=…, if the site wants a login"
        )
        parser.add_argument("--json", action="store_true", help="print all findings as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Examine the site, and exit with status 1 if anything is wrong."""
        try:
            site = Site(options["url"], reverse("socketio"))
        except ValueError:
            raise CommandError("The URL must be as https://www.example.com.") from None
        examination = Examination(
            site,
            origin=options["origin"],
            idle=options["idle"],
            token=health.make_token(),
            cookie=options["cookie"],
            tell=lambda text: None if options["json"] else self.stdout.write(text),
        )
        findings = []
        for finding in examination.run():
            findings.append(finding)
            if not options["json"]:
                self._tell(finding, findings[:-1], options["verbosity"])
        wrong = [finding for finding in findings if finding.state == "wrong"]
        if options["json"]:
            told = {"url": options["url"], "right": not wrong, "findings": findings}
            self.stdout.write(json.dumps(msgspec.to_builtins(told), indent=2))
        elif not wrong:
            self.stdout.write(self.style.SUCCESS("Nothing wrong was found."))
        if wrong:
            sys.exit(1)

    def _tell(self, finding: Finding, before: list[Finding], verbosity: int) -> None:
        """Print a finding; what was said of an earlier step is not said again."""
        same = next((one.step for one in before if one.text and one.text == finding.text), None)
        if finding.state == "right":
            if verbosity > 1:
                self.stdout.write(f"{finding.step}: right")
        elif same is not None:
            self.stdout.write(f"{finding.step}: the same as {same}")
        elif finding.state == "wrong":
            self.stdout.write(self.style.ERROR(f"{finding.step}: {finding.text}"))
            for line in finding.nginx:
                self.stdout.write(f"    {line}")
        else:
            self.stdout.write(f"{finding.step}: not examined. {finding.text}")
