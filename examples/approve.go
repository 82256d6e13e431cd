// Binds a phone, logs in with it and approves a payment: the calls of an app's backend, with the phone's signatures.
//
// Start the service with `cargo run` in another shell, then run `go run examples/approve.go`. It needs Go 1.18 and no
// module. BASE_URL, CLIENT_ID and CLIENT_SECRET name another service or client.
package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

var (
	baseURL      = setting("BASE_URL", "http://127.0.0.1:8080")
	clientID     = setting("CLIENT_ID", "sandbox")
	clientSecret = setting("CLIENT_SECRET", "sandbox")
)

// Phone is the app on the phone: it makes the key pair and signs. The private key stays there.
type Phone struct{ key *ecdsa.PrivateKey }

func newPhone() Phone {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	return Phone{key}
}

// PublicKey is the uncompressed point in hex: 04, x, y, each coordinate padded to 32 bytes.
func (phone Phone) PublicKey() string {
	return fmt.Sprintf("04%064x%064x", phone.key.X, phone.key.Y)
}

// Sign returns ECDSA over one SHA-256 of the text, as DER in hex.
func (phone Phone) Sign(text string) string {
	digest := sha256.Sum256([]byte(text))
	signature, err := ecdsa.SignASN1(rand.Reader, phone.key, digest[:])
	check(err)
	return hex.EncodeToString(signature)
}

// LinesToShow are the lines of an approval that the person sees before the phone signs: all from action on.
func (phone Phone) LinesToShow(text string) []string {
	start := strings.Index(text, "\naction: ")
	if !strings.HasPrefix(text, "device-management/approval/v1\n") || start < 0 {
		fail("not an approval: " + text)
	}
	return strings.Split(text[start+1:], "\n")
}

type object map[string]any

var client = http.Client{Timeout: 10 * time.Second}

// send sends a request and decodes the JSON of the answer into result, unless that is nil.
func send(step string, request *http.Request, result any) {
	response, err := client.Do(request)
	check(err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	check(err)
	line := fmt.Sprint(response.StatusCode, " ", request.Method, " ", request.URL.RequestURI())
	if response.StatusCode >= 300 {
		fail(line + ": " + reason(body))
	}
	fmt.Println(line+" ", step)
	if result != nil {
		check(json.Unmarshal(body, result))
	}
}

// reason is the message of an error: the API's errors, or the error of the token endpoint.
func reason(body []byte) string {
	var answer struct {
		Errors []struct{ Title, Detail string }
		Error  string
	}
	if json.Unmarshal(body, &answer) != nil {
		return string(body)
	}
	reasons := []string{}
	for _, err := range answer.Errors {
		if err.Detail == "" {
			err.Detail = err.Title
		}
		reasons = append(reasons, err.Detail)
	}
	return strings.Join(reasons, "; ") + answer.Error
}

func main() {
	form := strings.NewReader(url.Values{"grant_type": {"client_credentials"}}.Encode())
	request, err := http.NewRequest("POST", baseURL+"/oauth2/token", form)
	check(err)
	request.SetBasicAuth(clientID, clientSecret)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var issued struct {
		AccessToken string `json:"access_token"`
	}
	send("access token issued", request, &issued)

	call := func(step, method, path string, body, result any) {
		var content bytes.Buffer
		if body != nil {
			check(json.NewEncoder(&content).Encode(body))
		}
		request, err := http.NewRequest(method, baseURL+path, &content)
		check(err)
		request.Header.Set("Authorization", "Bearer "+issued.AccessToken)
		request.Header.Set("Content-Type", "application/json")
		if method == "PUT" && result != nil {
			request.Header.Set("Prefer", "return=representation")
		}
		send(step, request, result)
	}

	person := "example-" + randomHex()
	ofPerson := url.Values{"filter[person_id]": {person}}.Encode()
	number := object{"number": "+49 151 12345678", "verified": true}
	call("verified number registered", "POST", "/v1/persons/"+person+"/mobile_number", number, nil)

	// Bind: the person gets a code by SMS, and the phone signs its digits. The SMS of the sandbox are in its inbox.
	phone := newPhone()
	var device struct{ ID string }
	binding := object{"person_id": person, "key_type": "ecdsa-p256", "key": phone.PublicKey(), "name": "Go"}
	call("device requested, code sent", "POST", "/v1/mfa/devices", binding, &device)
	var messages []struct{ Code string }
	call("code read from the inbox", "GET", "/sandbox/messages?"+ofPerson, nil, &messages)
	signature := object{"signature": phone.Sign(messages[0].Code)}
	call("device bound", "PUT", "/v1/mfa/challenges/signatures/"+device.ID, signature, nil)

	// Log in: the phone signs the text of the challenge exactly as received.
	const challenges = "/v1/mfa/challenges/devices"
	var login, payment struct {
		ID           string
		StringToSign string `json:"string_to_sign"`
	}
	call("log-in challenge opened", "POST", challenges, object{"device_id": device.ID}, &login)
	signature = object{"signature": phone.Sign(login.StringToSign)}
	call("log-in verified", "PUT", challenges+"/"+login.ID, signature, nil)

	// Approve: the phone shows lines of the text and signs all of it. The backend repeats the approval that it
	// carries out.
	approval := object{
		"action":    "payment",
		"amount":    object{"value": "12.50", "currency": "EUR"},
		"payee":     object{"name": "Müller GmbH", "account": "DE89370400440532013000"},
		"reference": "Invoice 4711",
	}
	call("payment challenge opened", "POST", challenges, object{"device_id": device.ID, "approval": approval}, &payment)
	for _, line := range phone.LinesToShow(payment.StringToSign) {
		fmt.Println("   ", line)
	}
	answer := object{"signature": phone.Sign(payment.StringToSign), "approval": approval}
	var result struct{ Decision string }
	call("payment verified", "PUT", challenges+"/"+payment.ID, answer, &result)
	if result.Decision != "approved" {
		fail("the payment is " + result.Decision)
	}

	call("devices listed", "GET", "/v1/mfa/devices?"+ofPerson, nil, nil)
	call("keys listed", "GET", "/v1/mfa/devices/"+device.ID+"/keys", nil, nil)
	call("device deleted", "DELETE", "/v1/mfa/devices/"+device.ID, nil, nil)
}

func setting(name, otherwise string) string {
	if value, set := os.LookupEnv(name); set {
		return value
	}
	return otherwise
}

func randomHex() string {
	bytes := make([]byte, 8)
	_, err := rand.Read(bytes)
	check(err)
	return hex.EncodeToString(bytes)
}

func check(err error) {
	if err != nil {
		fail(err.Error())
	}
}

func fail(message string) {
	fmt.Fprintln(os.Stderr, message)
	os.Exit(1)
}
