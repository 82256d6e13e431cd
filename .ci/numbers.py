#!/usr/bin/env python3
"""Compares the service's validation of phone numbers with the Python port of Google's libphonenumber.

    numbers.py ANY NONE COUNTRIES METADATA

ANY and NONE are addresses of the service in sandbox mode: the first serves every country, the second only a country
without mobile numbers in this list, so that its refusals name the country. COUNTRIES is the default of SMS_COUNTRIES,
METADATA the version of the metadata in the service's own library.

Some ten thousand numbers are generated from a fixed seed: of every region and kind, too long, too short, with
additional zeros and prefixes. The service must accept exactly those whose whole national number is a mobile number,
return each as sent but without the separators, and determine its country.
"""

import base64
import concurrent.futures
import http.client
import json
import random
import re
import sys

import phonenumbers
from phonenumbers import PhoneMetadata, PhoneNumberType
from rstr import Rstr

SEED = 2026
CONNECTIONS = 4
SEPARATORS = " -_/.()"
MOBILE = {PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE}
KINDS = [
    "fixed_line",
    "mobile",
    "toll_free",
    "premium_rate",
    "shared_cost",
    "personal_number",
    "voip",
    "pager",
    "uan",
    "voicemail",
]

# Known differences, each with the reason, for these versions of the metadata (the service's, Python's). The run fails
# on a difference that is not listed and on a listed one that no longer exists.
VERSIONS = ("9.0.42", "9.0.42")
DIFFERENCES = {}


def main():
    any_country, no_country, countries, metadata = sys.argv[1:]
    versions = (metadata, phonenumbers.__version__)
    if versions != VERSIONS:
        sys.exit(f"error: the metadata is {versions}, but the list of differences is for {VERSIONS}")
    texts = list(dict.fromkeys(generate(random.Random(SEED), countries.split(","))))
    opinions = {text: google(text) for text in texts}
    accepted = [text for text in texts if opinions[text]]
    print(f"{len(texts)} numbers of {len(regions())} regions, {len(accepted)} of them mobile; metadata {versions}")
    # Enough numbers of each verdict for the comparison to mean something.
    assert len(texts) > 10_000 and len(accepted) > 2_000 and len(texts) - len(accepted) > 3_000

    differences = {}
    for text, answer in ask(any_country, texts):
        ours = answer.get("number")
        if ours != (opinions[text] or (None, None))[0]:
            differences[text] = f"Google: {opinions[text]}, the service: {ours or refusal(answer)}"
    for text, answer in ask(no_country, accepted):
        country = opinions[text][1]
        expected = "a network that belongs to no country" if country == "001" else f"the country {country}, to which"
        if text not in differences and f"is of {expected}" not in refusal(answer):
            differences[text] = f"Google: {country}, the service: {refusal(answer)}"

    for text in sorted(differences.keys() - DIFFERENCES.keys()):
        print(f"difference: {text!r}: {differences[text]}")
    for text in sorted(DIFFERENCES.keys() - differences.keys()):
        print(f"listed, but no difference: {text!r}: {DIFFERENCES[text]}")
    if differences.keys() != DIFFERENCES.keys():
        sys.exit("error: the service and libphonenumber disagree")


def google(text):
    """The normal form and the region of a mobile number, or None.

    A number that libphonenumber would correct is invalid, as it is to the service (openapi.yaml, MobileNumberText).
    """
    bare = text.translate({ord(c): None for c in SEPARATORS})
    if not re.fullmatch(r"\+[0-9]+", bare):
        return None
    try:
        number = phonenumbers.parse(bare, None)
    except phonenumbers.NumberParseException:
        return None
    normal = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    if normal != bare or phonenumbers.number_type(number) not in MOBILE:
        return None
    return normal, phonenumbers.region_code_for_number(number)


def regions():
    codes = sorted(phonenumbers.COUNTRY_CODES_FOR_NON_GEO_REGIONS)
    named = [PhoneMetadata.metadata_for_region(region) for region in sorted(phonenumbers.SUPPORTED_REGIONS)]
    return named + [PhoneMetadata.metadata_for_nongeo_region(code) for code in codes]


def generate(rng, served):
    for region in regions():
        code, often = f"+{region.country_code}", region.id in served
        mobile = matches(rng, region.mobile, 24 if often else 3)
        for kind in KINDS:
            for national in matches(rng, getattr(region, kind), 6 if often else 1):
                yield code + national
            yield from (code + national for national in example(getattr(region, kind)))
        for national in mobile:
            at, digit = rng.randrange(len(national)), str(rng.randrange(10))
            yield code + national
            yield code + national + digit
            yield code + national + digit + digit
            yield code + national[:-1]
            yield code + national[:at] + digit + national[at + 1 :]
            yield code + "0" + national
            yield code + national.lstrip("0")
        for national in mobile[:4]:
            yield code + "00" + national
            yield code + (region.national_prefix or "0") + national
            yield code + str(region.country_code) + national
            yield written(rng, code + national)
        for national in mobile[: 2 if often else 0]:
            number = code + national
            yield from (number[1:], "00" + number[1:], "+" + number, "+0" + number[1:], "tel:" + number)
            yield from (number + ";ext=12", number + "x12", number + ",,12", code + "(0)" + national, "\u202a" + number)
            yield number.translate({ord("0") + digit: 0xFF10 + digit for digit in range(10)})
            yield code + "\u00a0" + national
        for length in region.general_desc.possible_length:
            for _ in range(4 if often else 1):
                yield code + "".join(str(rng.randrange(10)) for _ in range(max(length, 1)))


def matches(rng, kind, count):
    """National numbers of this kind, generated from its pattern."""
    if not kind or not kind.national_number_pattern or kind.national_number_pattern == "NA":
        return []
    return [Rstr(rng).xeger(kind.national_number_pattern) for _ in range(count)]


def example(kind):
    return [kind.example_number] if kind and kind.example_number else []


def written(rng, number):
    """The number with random separators after the +."""
    return number[0] + "".join(rng.choice(["", "", *SEPARATORS]) + digit for digit in number[1:])


def ask(address, texts):
    """Sends each text as the number of a new person; yields the text with the answer."""
    host, port = address.split(":")
    credentials = base64.b64encode(b"sandbox:sandbox").decode()

    def part(first):
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        headers = {"Authorization": f"Basic {credentials}", "Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST", "/oauth2/token", "grant_type=client_credentials", headers)
        token = json.load(connection.getresponse())["access_token"]
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        answers = []
        for index in range(first, len(texts), CONNECTIONS):
            body = json.dumps({"number": texts[index]})
            connection.request("POST", f"/v1/persons/p{index}/mobile_number", body, headers)
            response = connection.getresponse()
            answer = json.load(response)
            if response.status not in (201, 400):
                sys.exit(f"error: {texts[index]!r} is answered with {response.status}: {answer}")
            answers.append((texts[index], answer))
        return answers

    with concurrent.futures.ThreadPoolExecutor(CONNECTIONS) as pool:
        for answers in pool.map(part, range(CONNECTIONS)):
            yield from answers


def refusal(answer):
    return "; ".join(error["detail"] for error in answer.get("errors", []))


if __name__ == "__main__":
    main()
