// Binds a phone, logs in with it and approves a payment: the calls of an app's backend, with the phone's signatures.
//
// Start the service with `cargo run` in another shell, then run `java examples/Approve.java`. It needs a JDK, 17 or
// later, and no library. BASE_URL, CLIENT_ID and CLIENT_SECRET name another service or client.

import java.io.IOException;
import java.net.ConnectException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.security.GeneralSecurityException;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.Signature;
import java.security.interfaces.ECPublicKey;
import java.security.spec.ECGenParameterSpec;
import java.time.Duration;
import java.util.Base64;
import java.util.HexFormat;
import java.util.List;
import java.util.UUID;
import java.util.regex.Pattern;
import java.util.stream.Stream;

import static java.nio.charset.StandardCharsets.UTF_8;

public class Approve {
    static final String BASE_URL = System.getenv().getOrDefault("BASE_URL", "http://127.0.0.1:8080");
    static final String CLIENT_ID = System.getenv().getOrDefault("CLIENT_ID", "sandbox");
    static final String CLIENT_SECRET = System.getenv().getOrDefault("CLIENT_SECRET", "sandbox");

    /** The app on the phone makes the key pair and signs. The private key stays there. */
    record Phone(KeyPair keys) {
        static Phone create() throws GeneralSecurityException {
            var generator = KeyPairGenerator.getInstance("EC");
            generator.initialize(new ECGenParameterSpec("secp256r1"));
            return new Phone(generator.generateKeyPair());
        }

        /** The uncompressed point in hex: 04, x, y, each coordinate padded to 32 bytes. */
        String publicKey() {
            var point = ((ECPublicKey) keys.getPublic()).getW();
            return "04%064x%064x".formatted(point.getAffineX(), point.getAffineY());
        }

        /** ECDSA over one SHA-256 of the text, as DER in hex. */
        String sign(String text) throws GeneralSecurityException {
            var signature = Signature.getInstance("SHA256withECDSA");
            signature.initSign(keys.getPrivate());
            signature.update(text.getBytes(UTF_8));
            return HexFormat.of().formatHex(signature.sign());
        }

        /** The person sees every line of an approval from {@code action} on before the phone signs. */
        List<String> linesToShow(String text) {
            if (!text.startsWith("device-management/approval/v1\n")) {
                throw new IllegalArgumentException("not an approval: " + text);
            }
            return text.lines().dropWhile(line -> !line.startsWith("action: ")).toList();
        }
    }

    static final HttpClient http = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(10)).build();
    static String token;

    static String send(String step, String method, String path, HttpRequest.Builder request, String body)
            throws IOException, InterruptedException {
        request.uri(URI.create(BASE_URL + path))
                .method(method, HttpRequest.BodyPublishers.ofString(body))
                .timeout(Duration.ofSeconds(10));
        var response = http.send(request.build(), HttpResponse.BodyHandlers.ofString());
        var line = "%d %s %s".formatted(response.statusCode(), method, path);
        if (response.statusCode() >= 300) {
            throw new IOException(line + ": " + reason(response.body()));
        }
        System.out.println(line + "  " + step);
        return response.body();
    }

    static String call(String step, String method, String path, String body, String... headers)
            throws IOException, InterruptedException {
        var request = HttpRequest.newBuilder()
                .header("Authorization", "Bearer " + token)
                .header("Content-Type", "application/json");
        return send(step, method, path, headers.length == 0 ? request : request.headers(headers), body);
    }

    /** The message of an error: the API's {@code errors}, or the {@code error} of the token endpoint. */
    static String reason(String body) {
        return Stream.of("detail", "title", "error")
                .map(name -> fields(body, name))
                .filter(values -> !values.isEmpty())
                .map(values -> String.join("; ", values))
                .findFirst().orElse(body);
    }

    /**
     * The string values with this name anywhere in the JSON. The standard library has no JSON parser: a backend uses
     * its JSON library instead.
     */
    static List<String> fields(String json, String name) {
        return Pattern.compile("\"" + name + "\"\\s*:\\s*\"((?:[^\"\\\\]|\\\\.)*)\"").matcher(json).results()
                .map(match -> match.group(1).translateEscapes())
                .toList();
    }

    static String field(String json, String name) {
        return fields(json, name).get(0);
    }

    static void run() throws GeneralSecurityException, IOException, InterruptedException {
        var credentials = Base64.getEncoder().encodeToString((CLIENT_ID + ":" + CLIENT_SECRET).getBytes(UTF_8));
        var tokenRequest = HttpRequest.newBuilder()
                .header("Authorization", "Basic " + credentials)
                .header("Content-Type", "application/x-www-form-urlencoded");
        var form = "grant_type=client_credentials";
        token = field(send("access token issued", "POST", "/oauth2/token", tokenRequest, form), "access_token");

        var person = "example-" + UUID.randomUUID();
        var ofPerson = URLEncoder.encode("filter[person_id]", UTF_8) + "=" + person;
        call("verified number registered", "POST", "/v1/persons/" + person + "/mobile_number", """
                {"number": "+49 151 12345678", "verified": true}""");

        // Bind: the person gets a code by SMS, and the phone signs its digits. The SMS of the sandbox are in its inbox.
        var phone = Phone.create();
        var device = field(call("device requested, code sent", "POST", "/v1/mfa/devices", """
                {"person_id": "%s", "key_type": "ecdsa-p256", "key": "%s", "name": "Java"}
                """.formatted(person, phone.publicKey())), "id");
        var code = field(call("code read from the inbox", "GET", "/sandbox/messages?" + ofPerson, ""), "code");
        call("device bound", "PUT", "/v1/mfa/challenges/signatures/" + device, """
                {"signature": "%s"}""".formatted(phone.sign(code)));

        // Log in: the phone signs the text of the challenge exactly as received.
        var challenges = "/v1/mfa/challenges/devices";
        var login = call("log-in challenge opened", "POST", challenges, """
                {"device_id": "%s"}""".formatted(device));
        call("log-in verified", "PUT", challenges + "/" + field(login, "id"), """
                {"signature": "%s"}""".formatted(phone.sign(field(login, "string_to_sign"))));

        // Approve: the phone shows lines of the text and signs all of it. The backend repeats the approval that it
        // carries out. (Java 17 reads this file in the encoding of the locale, so the name is escaped.)
        var approval = """
                {
                  "action": "payment",
                  "amount": {"value": "12.50", "currency": "EUR"},
                  "payee": {"name": "M\u00fcller GmbH", "account": "DE89370400440532013000"},
                  "reference": "Invoice 4711"
                }""";
        var payment = call("payment challenge opened", "POST", challenges, """
                {"device_id": "%s", "approval": %s}""".formatted(device, approval));
        var text = field(payment, "string_to_sign");
        phone.linesToShow(text).forEach(line -> System.out.println("    " + line));
        var result = call("payment verified", "PUT", challenges + "/" + field(payment, "id"), """
                {"signature": "%s", "approval": %s}""".formatted(phone.sign(text), approval),
                "Prefer", "return=representation");
        if (!field(result, "decision").equals("approved")) {
            throw new IOException("the payment is " + field(result, "decision"));
        }

        call("devices listed", "GET", "/v1/mfa/devices?" + ofPerson, "");
        call("keys listed", "GET", "/v1/mfa/devices/" + device + "/keys", "");
        call("device deleted", "DELETE", "/v1/mfa/devices/" + device, "");
    }

    public static void main(String[] arguments) throws Exception {
        try {
            run();
        } catch (ConnectException error) {
            fail("no answer from " + BASE_URL);
        } catch (IOException error) {
            fail(error.getMessage());
        }
    }

    static void fail(String message) {
        System.err.println(message);
        System.exit(1);
    }
}
