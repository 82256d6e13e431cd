<?php
// Binds a phone, logs in with it and approves a payment: the calls of an app's backend, with the phone's signatures.
//
// Start the service with `cargo run` in another shell, then run `php examples/approve.php`. It needs PHP 8.1 with the
// extensions curl and openssl (Debian: php-cli php-curl). BASE_URL, CLIENT_ID and CLIENT_SECRET name another service or
// client.

declare(strict_types=1);

define('BASE_URL', getenv('BASE_URL') ?: 'http://127.0.0.1:8080');
define('CLIENT_ID', getenv('CLIENT_ID') ?: 'sandbox');
define('CLIENT_SECRET', getenv('CLIENT_SECRET') ?: 'sandbox');

/** The app on the phone makes the key pair and signs. The private key stays there. */
final class Phone
{
    private OpenSSLAsymmetricKey $key;

    public function __construct()
    {
        $this->key = openssl_pkey_new(['private_key_type' => OPENSSL_KEYTYPE_EC, 'curve_name' => 'prime256v1']);
    }

    /** The uncompressed point in hex: 04, x, y, each coordinate padded to 32 bytes. */
    public function publicKey(): string
    {
        ['x' => $x, 'y' => $y] = openssl_pkey_get_details($this->key)['ec'];
        $padded = fn (string $coordinate): string => str_pad(bin2hex($coordinate), 64, '0', STR_PAD_LEFT);
        return '04' . $padded($x) . $padded($y);
    }

    /** ECDSA over one SHA-256 of the text, as DER in hex. */
    public function sign(string $text): string
    {
        openssl_sign($text, $signature, $this->key, OPENSSL_ALGO_SHA256);
        return bin2hex($signature);
    }

    /** The person sees every line of an approval from `action` on before the phone signs. */
    public function linesToShow(string $text): array
    {
        if (!str_starts_with($text, "device-management/approval/v1\n")) {
            fail("not an approval: $text");
        }
        return explode("\n", substr($text, strpos($text, "\naction: ") + 1));
    }
}

function send(string $step, string $method, string $path, ?string $body, array $options): mixed
{
    $curl = curl_init(BASE_URL . $path);
    curl_setopt_array($curl, $options + [
        CURLOPT_CUSTOMREQUEST => $method,
        CURLOPT_RETURNTRANSFER => true,
        CURLOPT_TIMEOUT => 10,
    ]);
    if ($body !== null) {
        curl_setopt($curl, CURLOPT_POSTFIELDS, $body);
    }
    $answer = curl_exec($curl);
    if ($answer === false) {
        fail('no answer from ' . BASE_URL . ': ' . curl_error($curl));
    }
    $status = curl_getinfo($curl, CURLINFO_RESPONSE_CODE);
    if ($status >= 300) {
        fail("$status $method $path: " . reason($answer));
    }
    echo "$status $method $path  $step\n";
    return json_decode($answer, true);
}

/** The message of an error: the API's `errors`, or the `error` of the token endpoint. */
function reason(string $answer): string
{
    $json = json_decode($answer, true);
    $reasons = array_map(fn (array $error): string => $error['detail'] ?? $error['title'], $json['errors'] ?? []);
    return implode('; ', $reasons) ?: $json['error'] ?? $answer;
}

function call(string $step, string $method, string $path, ?array $body = null, array $headers = []): mixed
{
    global $token;
    $headers = ["Authorization: Bearer $token", 'Content-Type: application/json', ...$headers];
    $json = $body === null ? null : json_encode($body, JSON_THROW_ON_ERROR);
    return send($step, $method, $path, $json, [CURLOPT_HTTPHEADER => $headers]);
}

function fail(string $message): never
{
    fwrite(STDERR, "$message\n");
    exit(1);
}

$form = http_build_query(['grant_type' => 'client_credentials']);
$basic = [CURLOPT_USERPWD => CLIENT_ID . ':' . CLIENT_SECRET];
$token = send('access token issued', 'POST', '/oauth2/token', $form, $basic)['access_token'];

$person = 'example-' . bin2hex(random_bytes(8));
$ofPerson = http_build_query(['filter' => ['person_id' => $person]]);
$number = ['number' => '+49 151 12345678', 'verified' => true];
call('verified number registered', 'POST', "/v1/persons/$person/mobile_number", $number);

// Bind: the person gets a code by SMS, and the phone signs its digits. The SMS of the sandbox are in its inbox.
$phone = new Phone();
$request = ['person_id' => $person, 'key_type' => 'ecdsa-p256', 'key' => $phone->publicKey(), 'name' => 'PHP'];
$device = call('device requested, code sent', 'POST', '/v1/mfa/devices', $request)['id'];
$code = call('code read from the inbox', 'GET', "/sandbox/messages?$ofPerson")[0]['code'];
call('device bound', 'PUT', "/v1/mfa/challenges/signatures/$device", ['signature' => $phone->sign($code)]);

// Log in: the phone signs the text of the challenge exactly as received.
$challenges = '/v1/mfa/challenges/devices';
$login = call('log-in challenge opened', 'POST', $challenges, ['device_id' => $device]);
$answer = ['signature' => $phone->sign($login['string_to_sign'])];
call('log-in verified', 'PUT', "$challenges/{$login['id']}", $answer);

// Approve: the phone shows lines of the text and signs all of it. The backend repeats the approval that it carries out.
$approval = [
    'action' => 'payment',
    'amount' => ['value' => '12.50', 'currency' => 'EUR'],
    'payee' => ['name' => 'Müller GmbH', 'account' => 'DE89370400440532013000'],
    'reference' => 'Invoice 4711',
];
$payment = call('payment challenge opened', 'POST', $challenges, ['device_id' => $device, 'approval' => $approval]);
foreach ($phone->linesToShow($payment['string_to_sign']) as $line) {
    echo "    $line\n";
}
$answer = ['signature' => $phone->sign($payment['string_to_sign']), 'approval' => $approval];
$preference = ['Prefer: return=representation'];
$result = call('payment verified', 'PUT', "$challenges/{$payment['id']}", $answer, $preference);
if ($result['decision'] !== 'approved') {
    fail("the payment is {$result['decision']}");
}

call('devices listed', 'GET', "/v1/mfa/devices?$ofPerson");
call('keys listed', 'GET', "/v1/mfa/devices/$device/keys");
call('device deleted', 'DELETE', "/v1/mfa/devices/$device");
