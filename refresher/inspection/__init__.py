"""What a token or a document says, and what Google would say to it: for people, never for programs that decide."""
