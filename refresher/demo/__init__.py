"""The main job on the emulator, shown: two users, two identities, refreshes, an exchange each, a theft refused."""
