#!/bin/sh
# Binds a phone, logs in with it, approves a payment and declines another: the calls of an app's backend with curl, and
# the phone's signatures with openssl.
#
# Start the service with `cargo run` in another shell, then run `examples/approve.sh`. It needs curl, jq 1.6 and
# openssl. BASE_URL, CLIENT_ID and CLIENT_SECRET name another service or client.
set -eu

base_url=${BASE_URL:-http://127.0.0.1:8080}
client_id=${CLIENT_ID:-sandbox}
client_secret=${CLIENT_SECRET:-sandbox}

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

# The app on the phone makes the key pairs and signs. The private keys stay there.

# new_key NAME
new_key() {
    openssl ecparam -name prime256v1 -genkey -noout -out "$folder/$1.pem"
}

# public_key NAME: the uncompressed point in hex (04, x, y), which is the last 65 bytes of the DER form.
public_key() {
    openssl ec -in "$folder/$1.pem" -pubout -outform DER 2>"$folder/openssl.log" | tail -c 65 | hex
}

# sign NAME TEXT: ECDSA over one SHA-256 of the text, as DER in hex.
sign() {
    printf '%s' "$2" | openssl dgst -sha256 -sign "$folder/$1.pem" | hex
}

hex() {
    od -An -v -tx1 | tr -d ' \n'
}

# lines_to_show TEXT: the person sees every line of an approval from `action` on before the phone signs.
lines_to_show() {
    case $1 in
        device-management/approval/v1*) printf '%s\n' "$1" | sed -n '/^action: /,$ s/^/    /p' ;;
        *) fail "not an approval: $1" ;;
    esac
}

# declining TEXT: the text that the phone signs to decline has another first line.
declining() {
    printf '%s' "$1" | sed '1s|.*|device-management/decline/v1|'
}

# send STEP METHOD PATH [arguments of curl]
send() {
    step=$1 method=$2 path=$3
    shift 3
    status=$(curl --silent --show-error --max-time 10 --output "$folder/answer" --write-out '%{http_code}' \
        --request "$method" "$@" "$base_url$path") || fail "no answer from $base_url"
    case $status in
        2*) printf '%s %s %s  %s\n' "$status" "$method" "$path" "$step" ;;
        *) fail "$status $method $path: $(reason)" ;;
    esac
}

# The message of an error: the API's `errors`, or the `error` of the token endpoint.
reason() {
    answer 'if .errors then [.errors[] | .detail // .title] | join("; ") else .error end' 2>"$folder/jq.log" ||
        cat "$folder/answer"
}

# answer FILTER: a value of the answer.
answer() {
    jq --raw-output "$1" "$folder/answer"
}

call() {
    send "$@" --header "Authorization: Bearer $token" --header 'Content-Type: application/json'
}

# json --arg NAME VALUE...: an object with these fields.
json() {
    jq --null-input "$@" '$ARGS.named'
}

send 'access token issued' POST /oauth2/token --user "$client_id:$client_secret" --data grant_type=client_credentials
token=$(answer .access_token)

person=example-$(openssl rand -hex 8)
of_person=filter%5Bperson_id%5D=$person
call 'verified number registered' POST "/v1/persons/$person/mobile_number" \
    --data '{"number": "+49 151 12345678", "verified": true}'

# Bind: the person gets a code by SMS, and the phone signs its digits. The SMS of the sandbox are in its inbox.
new_key phone
call 'device requested, code sent' POST /v1/mfa/devices --data "$(json --arg person_id "$person" \
    --arg key_type ecdsa-p256 --arg key "$(public_key phone)" --arg name curl)"
device=$(answer .id)
call 'code read from the inbox' GET "/sandbox/messages?$of_person"
code=$(answer '.[0].code')
call 'device bound' PUT "/v1/mfa/challenges/signatures/$device" --data "$(json --arg signature "$(sign phone "$code")")"

# Log in: the phone signs the text of the challenge exactly as received.
challenges=/v1/mfa/challenges/devices
call 'log-in challenge opened' POST $challenges --data "$(json --arg device_id "$device")"
challenge=$(answer .id) text=$(answer .string_to_sign)
call 'log-in verified' PUT "$challenges/$challenge" --data "$(json --arg signature "$(sign phone "$text")")"

# Approve: the phone shows lines of the text and signs all of it. The backend repeats the approval that it carries out.
approval='{
    "action": "payment",
    "amount": {"value": "12.50", "currency": "EUR"},
    "payee": {"name": "Müller GmbH", "account": "DE89370400440532013000"},
    "reference": "Invoice 4711"
}'
call 'payment challenge opened' POST $challenges \
    --data "$(json --arg device_id "$device" --argjson approval "$approval")"
challenge=$(answer .id) text=$(answer .string_to_sign)
lines_to_show "$text"
call 'payment verified' PUT "$challenges/$challenge" --header 'Prefer: return=representation' \
    --data "$(json --arg signature "$(sign phone "$text")" --argjson approval "$approval")"
[ "$(answer .decision)" = approved ] || fail "the payment is $(answer .decision)"

# Add a restricted key, which the phone uses only after it has authenticated the person. The first key signs its hex.
new_key restricted
key=$(public_key restricted)
call 'restricted key added' POST "/v1/mfa/devices/$device/keys" --data "$(json --arg key_type ecdsa-p256 \
    --arg key "$key" --arg key_purpose restricted --argjson device_signature \
    "$(json --arg signature_key_purpose unrestricted --arg signature "$(sign phone "$key")")")"

# Decline: the restricted key signs the text with another first line.
call 'second payment challenge opened' POST $challenges \
    --data "$(json --arg device_id "$device" --arg key_purpose restricted --argjson approval "$approval")"
challenge=$(answer .id) text=$(answer .string_to_sign)
call 'payment declined' PUT "$challenges/$challenge" --data "$(json --arg decision declined --arg reason not_me \
    --arg signature "$(sign restricted "$(declining "$text")")")"

call 'devices listed' GET "/v1/mfa/devices?$of_person"
call 'keys listed' GET "/v1/mfa/devices/$device/keys"
call 'device deleted' DELETE "/v1/mfa/devices/$device"
