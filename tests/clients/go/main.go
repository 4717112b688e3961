// Does what a user's program does: whoami, then read an object; both with application default credentials alone.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
)

func main() {
	told, err := act(os.Args[1], os.Args[2], os.Args[3])
	if err != nil {
		told = map[string]any{"refused": err.Error()}
	}
	if err := json.NewEncoder(os.Stdout).Encode(told); err != nil {
		os.Exit(1)
	}
}

func act(origin, bucket, object string) (map[string]any, error) {
	ctx := context.Background()
	credentials, err := google.FindDefaultCredentials(ctx, "https://www.googleapis.com/auth/cloud-platform")
	if err != nil {
		return nil, err
	}
	client := oauth2.NewClient(ctx, credentials.TokenSource)
	whoami, err := get(client, origin+"/emulator/whoami")
	if err != nil {
		return nil, err
	}
	content, err := get(client, fmt.Sprintf("%s/storage/v1/b/%s/o/%s?alt=media", origin, bucket, object))
	if err != nil {
		return nil, err
	}
	return map[string]any{"whoami": json.RawMessage(whoami), "content": string(content)}, nil
}

func get(client *http.Client, url string) ([]byte, error) {
	answer, err := client.Get(url)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", answer.StatusCode, body)
	}
	return body, err
}
