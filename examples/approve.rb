# Binds a phone, logs in with it and approves a payment: the calls of an app's backend, with the phone's signatures.
#
# Start the service with `cargo run` in another shell, then run `ruby examples/approve.rb`. It needs Ruby 2.7 and no
# gem. BASE_URL, CLIENT_ID and CLIENT_SECRET name another service or client.

require "json"
require "net/http"
require "openssl"
require "securerandom"

BASE_URL = ENV.fetch("BASE_URL", "http://127.0.0.1:8080")
CLIENT_ID = ENV.fetch("CLIENT_ID", "sandbox")
CLIENT_SECRET = ENV.fetch("CLIENT_SECRET", "sandbox")

# The app on the phone makes the key pair and signs. The private key stays there.
class Phone
  def initialize
    @key = OpenSSL::PKey::EC.generate("prime256v1")
  end

  # The uncompressed point in hex: 04, x, y.
  def public_key
    @key.public_key.to_octet_string(:uncompressed).unpack1("H*")
  end

  # ECDSA over one SHA-256 of the text, as DER in hex.
  def sign(text)
    @key.sign("SHA256", text).unpack1("H*")
  end

  # The person sees every line of an approval from `action` on before the phone signs.
  def lines_to_show(text)
    lines = text.split("\n")
    abort "not an approval: #{lines.first}" unless lines.first == "device-management/approval/v1"
    lines.drop_while { |line| !line.start_with?("action: ") }
  end
end

def send_request(step, method, path, headers, body = nil)
  uri = URI(BASE_URL + path)
  options = { use_ssl: uri.scheme == "https", open_timeout: 10, read_timeout: 10 }
  response = Net::HTTP.start(uri.host, uri.port, **options) do |http|
    http.send_request(method, uri.request_uri, body, headers)
  end
  line = "#{response.code} #{method} #{path}"
  abort "#{line}: #{reason(response.body)}" unless response.is_a?(Net::HTTPSuccess)
  puts "#{line}  #{step}"
  JSON.parse(response.body) if response.body
rescue SystemCallError, SocketError, Timeout::Error => error
  abort "no answer from #{BASE_URL}: #{error.message}"
end

# The message of an error: the API's `errors`, or the `error` of the token endpoint.
def reason(body)
  answer = JSON.parse(body)
  answer["error"] || answer["errors"].map { |error| error["detail"] || error["title"] }.join("; ")
rescue JSON::ParserError
  body
end

credentials = ["#{CLIENT_ID}:#{CLIENT_SECRET}"].pack("m0")
basic = { "Authorization" => "Basic #{credentials}", "Content-Type" => "application/x-www-form-urlencoded" }
form = URI.encode_www_form(grant_type: "client_credentials")
token = send_request("access token issued", "POST", "/oauth2/token", basic, form)["access_token"]

headers = { "Authorization" => "Bearer #{token}", "Content-Type" => "application/json" }
call = lambda do |step, method, path, body = nil, more = {}|
  send_request(step, method, path, headers.merge(more), body&.to_json)
end

person = "example-#{SecureRandom.hex(8)}"
of_person = URI.encode_www_form("filter[person_id]" => person)
number = { number: "+49 151 12345678", verified: true }
call.("verified number registered", "POST", "/v1/persons/#{person}/mobile_number", number)

# Bind: the person gets a code by SMS, and the phone signs its digits. The SMS of the sandbox are in its inbox.
phone = Phone.new
request = { person_id: person, key_type: "ecdsa-p256", key: phone.public_key, name: "Ruby" }
device = call.("device requested, code sent", "POST", "/v1/mfa/devices", request)["id"]
code = call.("code read from the inbox", "GET", "/sandbox/messages?#{of_person}").first["code"]
call.("device bound", "PUT", "/v1/mfa/challenges/signatures/#{device}", { signature: phone.sign(code) })

# Log in: the phone signs the text of the challenge exactly as received.
challenges = "/v1/mfa/challenges/devices"
login = call.("log-in challenge opened", "POST", challenges, { device_id: device })
answer = { signature: phone.sign(login["string_to_sign"]) }
call.("log-in verified", "PUT", "#{challenges}/#{login["id"]}", answer)

# Approve: the phone shows lines of the text and signs all of it. The backend repeats the approval that it carries out.
approval = {
  action: "payment",
  amount: { value: "12.50", currency: "EUR" },
  payee: { name: "Müller GmbH", account: "DE89370400440532013000" },
  reference: "Invoice 4711"
}
payment = call.("payment challenge opened", "POST", challenges, { device_id: device, approval: approval })
phone.lines_to_show(payment["string_to_sign"]).each { |line| puts "    #{line}" }
answer = { signature: phone.sign(payment["string_to_sign"]), approval: approval }
preference = { "Prefer" => "return=representation" }
result = call.("payment verified", "PUT", "#{challenges}/#{payment["id"]}", answer, preference)
abort "the payment is #{result["decision"]}" unless result["decision"] == "approved"

call.("devices listed", "GET", "/v1/mfa/devices?#{of_person}")
call.("keys listed", "GET", "/v1/mfa/devices/#{device}/keys")
call.("device deleted", "DELETE", "/v1/mfa/devices/#{device}")
