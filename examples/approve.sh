#!/bin/sh
# Device challenges: a bound device logs in, approves a payment and declines another.
#
# openssl acts as the phone. The device is bound with the fixed code of the sandbox (SANDBOX_OTP), so this works with the
# default configuration of the service:
#
#     cargo run &
#     examples/approve.sh
#
# BASE_URL (default http://127.0.0.1:8080), CLIENT_ID and CLIENT_SECRET (default sandbox) set another service or client.
set -eu

here=$(dirname "$0")
# shellcheck source=examples/http.sh
. "$here/http.sh"
# shellcheck source=examples/phone.sh
. "$here/phone.sh"

# text_to_sign: `string_to_sign` of the challenge in the answer. A real client parses the JSON; printf resolves its `\n`.
text_to_sign() {
    printf '%b' "$(sed -n 's/.*"string_to_sign":"\([^"]*\)".*/\1/p' "$answer")"
}

# declining TEXT: the same text with the first line that declines.
declining() {
    printf '%s' "$1" | sed '1s|.*|device-management/decline/v1|'
}

person=example-$(openssl rand -hex 8)
challenges=/v1/mfa/challenges/devices
new_key phone

echo '# Get an access token.'
sign_in

echo '# Give the person a mobile number that the partner has verified.'
call 201 POST "/v1/persons/$person/mobile_number" '{"number": "+49 151 12345678", "verified": true}'

echo '# Bind a device: request it, and answer its challenge with the signed code.'
call 202 POST /v1/mfa/devices \
    "{\"person_id\": \"$person\", \"key_type\": \"ecdsa-p256\", \"key\": \"$(public_key phone)\", \"name\": \"openssl\"}"
device=$(field id)
call 204 PUT "/v1/mfa/challenges/signatures/$device" "{\"signature\": \"$(sign phone 212212)\"}"

echo '# Log in: the phone signs the text of the challenge exactly as received.'
call 201 POST "$challenges" "{\"device_id\": \"$device\"}"
challenge=$(field id) text=$(text_to_sign)
call 204 PUT "$challenges/$challenge" "{\"signature\": \"$(sign phone "$text")\"}"

echo '# Challenge the device with a payment. The phone shows the person these lines.'
approval='{"action": "payment", "amount": {"value": "12.50", "currency": "EUR"},
    "payee": {"name": "Café Müller GmbH", "account": "DE89370400440532013000"}, "reference": "Invoice 4711"}'
call 201 POST "$challenges" "{\"device_id\": \"$device\", \"approval\": $approval}"
challenge=$(field id) text=$(text_to_sign)
printf '%s\n' "$text"

echo '# The person approves. The backend repeats the approval that it is about to carry out, and asks for the result.'
request 200 PUT "$challenges/$challenge" --header "Authorization: Bearer $token" \
    --header 'Content-Type: application/json' --header 'Prefer: return=representation' \
    --data-binary "{\"signature\": \"$(sign phone "$text")\", \"approval\": $approval}"
[ "$(field decision)" = approved ] || fail "not approved: $(cat "$answer")"

echo '# Challenge the device with a payment that the person declines: the phone signs the text with another first line.'
call 201 POST "$challenges" "{\"device_id\": \"$device\", \"approval\": $approval}"
challenge=$(field id) text=$(text_to_sign)
call 204 PUT "$challenges/$challenge" \
    "{\"signature\": \"$(sign phone "$(declining "$text")")\", \"decision\": \"declined\", \"reason\": \"not_me\"}"

echo '# An answered challenge is no longer open.'
call 404 GET "$challenges/$challenge"

echo '# Delete the device.'
call 204 DELETE "/v1/mfa/devices/$device"
