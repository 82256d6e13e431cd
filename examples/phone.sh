# Functions of the examples in which openssl acts as the phone: it makes the keys and signs. Sourced after http.sh, not
# run.
# shellcheck shell=sh

# new_key NAME: makes a P-256 key.
new_key() {
    openssl ecparam -name prime256v1 -genkey -noout -out "${folder:?}/$1.pem"
}

hex() {
    od -An -v -tx1 | tr -d ' \n'
}

# public_key NAME: the uncompressed point in hex, which is the last 65 bytes of the DER form.
public_key() {
    openssl ec -in "$folder/$1.pem" -pubout -outform DER 2>"$folder/openssl.log" | tail -c 65 | hex
}

# sign NAME TEXT: the signature over the text's SHA-256, as DER in hex.
sign() {
    printf '%s' "$2" | openssl dgst -sha256 -sign "$folder/$1.pem" | hex
}
