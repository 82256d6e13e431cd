#!/bin/sh
# The life cycle of a device with new keys: binds it, adds a second key, and deletes it.
#
# openssl acts as the phone: it makes the keys and signs. The code comes from the console SMS in the service's log, so the
# service must run in the sandbox and write its log to a file:
#
#     SANDBOX_OTP=random cargo run 2>service.log &
#     SERVER_LOG=service.log examples/sign.sh
#
# BASE_URL (default http://127.0.0.1:8080), CLIENT_ID and CLIENT_SECRET (default sandbox) set another service or client.
set -eu

here=$(dirname "$0")
# shellcheck source=examples/http.sh
. "$here/http.sh"
# shellcheck source=examples/phone.sh
. "$here/phone.sh"

log=${SERVER_LOG:?must name the log file of the service}

# code_for CHALLENGE: the first six digits of the challenge's SMS in the log. Through a pipe, a line may reach the file
# after the answer.
code_for() {
    for _ in 1 2 3 4 5; do
        grep -F "$1" "$log" | sed -n 's/.*SMS to //p' | grep -o '[0-9]\{6\}' | head -n 1 >"$folder/code"
        [ ! -s "$folder/code" ] || break
        sleep 1
    done
    cat "$folder/code"
}

person=example-$(openssl rand -hex 8)
new_key first
new_key second

echo '# Get an access token.'
sign_in

echo '# Give the person a mobile number that the partner has verified.'
call 201 POST "/v1/persons/$person/mobile_number" '{"number": "+49 151 12345678", "verified": true}'

echo '# Request a device with the first key.'
call 202 POST /v1/mfa/devices \
    "{\"person_id\": \"$person\", \"key_type\": \"ecdsa-p256\", \"key\": \"$(public_key first)\", \"name\": \"openssl\"}"
device=$(field id)

echo '# Read the code from the SMS, sign it with the first key, and answer the challenge.'
code=$(code_for "$device")
[ -n "$code" ] || fail "$log shows no SMS for $device: is it the log of the service at $base_url?"
call 204 PUT "/v1/mfa/challenges/signatures/$device" "{\"signature\": \"$(sign first "$code")\"}"

echo '# Add a restricted key. The first key vouches for it by signing its hex text.'
second=$(public_key second)
call 201 POST "/v1/mfa/devices/$device/keys" \
    "{\"key_type\": \"ecdsa-p256\", \"key\": \"$second\", \"key_purpose\": \"restricted\",
      \"device_signature\": {\"signature_key_purpose\": \"unrestricted\", \"signature\": \"$(sign first "$second")\"}}"

echo '# The device has both keys.'
call 200 GET "/v1/mfa/devices/$device/keys"
[ "$(fields key_purpose | sort | tr '\n' ' ')" = 'restricted unrestricted ' ] || fail "not the two keys: $(cat "$answer")"
cat "$answer"
echo

echo '# Delete the device. It is no longer listed and cannot be deleted twice.'
call 204 DELETE "/v1/mfa/devices/$device"
call 200 GET "/v1/mfa/devices?filter%5Bperson_id%5D=$person"
[ "$(cat "$answer")" = '[]' ] || fail "the device is still there: $(cat "$answer")"
call 404 DELETE "/v1/mfa/devices/$device"
