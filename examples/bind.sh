#!/bin/sh
# Binds the device of the example in the API reference, with curl only.
#
# The example's signature is over the code 212212, the sandbox's default (SANDBOX_OTP). So this works with the default
# configuration of the service:
#
#     cargo run &
#     examples/bind.sh
#
# BASE_URL (default http://127.0.0.1:8080), CLIENT_ID and CLIENT_SECRET (default sandbox) set another service or client.
set -eu

here=$(dirname "$0")
# shellcheck source=examples/http.sh
. "$here/http.sh"

person=ec3d16cbc106f481b72d881d90c89cc5cper

echo '# Get an access token.'
sign_in

echo '# Delete the number and the devices of an earlier run.'
call '200 404' DELETE "/v1/persons/$person/mobile_number"
call 200 GET "/v1/mfa/devices?filter%5Bperson_id%5D=$person"
for device in $(fields id); do
    call 204 DELETE "/v1/mfa/devices/$device"
done

echo '# Give the person a mobile number that the partner has verified.'
call 201 POST "/v1/persons/$person/mobile_number" '{"number": "+49 151 12345678", "verified": true}'

echo '# Request a device. The person gets the code by SMS.'
call 202 POST /v1/mfa/devices "@$here/create-device.json"
device=$(field id)

echo '# Answer the challenge, whose id is the id of the device, with the code signed by the key of the device.'
call 204 PUT "/v1/mfa/challenges/signatures/$device" "@$here/verify-device.json"

echo '# The device is bound.'
call 200 GET "/v1/mfa/devices/$device"
cat "$answer"
echo
