module example.invalid/signing

go 1.23.0

require golang.org/x/oauth2 v0.30.0

require cloud.google.com/go/compute/metadata v0.3.0 // indirect
