// Go clients as in a user's program: for each bucket on standard input one read, and one line of JSON.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"

	"cloud.google.com/go/auth/credentials"
	"cloud.google.com/go/auth/httptransport"
	"cloud.google.com/go/storage"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
	"google.golang.org/api/option"
)

const (
	object = "hello"
	scope  = "https://www.googleapis.com/auth/cloud-platform"
)

type reading func(bucket string) (string, error)

var clients = map[string]func(ctx context.Context, origin string) (reading, error){
	"auth":    withAuth,
	"oauth2":  withOauth2,
	"storage": withStorage,
}

func main() {
	read, err := clients[os.Args[1]](context.Background(), os.Args[2])
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		content, problem := "", err
		if problem == nil {
			content, problem = read(lines.Text())
		}
		answer := map[string]string{"content": content}
		if problem != nil {
			answer = map[string]string{"error": fmt.Sprintf("%T", problem), "message": problem.Error()}
		}
		if json.NewEncoder(os.Stdout).Encode(answer) != nil {
			return
		}
	}
}

func withAuth(_ context.Context, origin string) (reading, error) {
	found, err := credentials.DetectDefault(&credentials.DetectOptions{Scopes: []string{scope}})
	if err != nil {
		return nil, err
	}
	client, err := httptransport.NewClient(&httptransport.Options{Credentials: found, DisableTelemetry: true})
	if err != nil {
		return nil, err
	}
	return over(client, origin), nil
}

func withOauth2(ctx context.Context, origin string) (reading, error) {
	found, err := google.FindDefaultCredentials(ctx, scope)
	if err != nil {
		return nil, err
	}
	return over(oauth2.NewClient(ctx, found.TokenSource), origin), nil
}

func withStorage(ctx context.Context, origin string) (reading, error) {
	client, err := storage.NewClient(ctx, option.WithEndpoint(origin+"/storage/v1/"))
	if err != nil {
		return nil, err
	}
	client.SetRetry(storage.WithPolicy(storage.RetryNever))
	return func(bucket string) (string, error) {
		reader, err := client.Bucket(bucket).Object(object).NewReader(ctx)
		if err != nil {
			return "", err
		}
		defer reader.Close()
		content, err := io.ReadAll(reader)
		return string(content), err
	}, nil
}

func over(client *http.Client, origin string) reading {
	return func(bucket string) (string, error) {
		answer, err := client.Get(fmt.Sprintf("%s/storage/v1/b/%s/o/%s?alt=media", origin, bucket, object))
		if err != nil {
			return "", err
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err == nil && answer.StatusCode != http.StatusOK {
			err = fmt.Errorf("status %d: %s", answer.StatusCode, body)
		}
		return string(body), err
	}
}
