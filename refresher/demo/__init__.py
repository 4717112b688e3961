"""The main job on the emulator, shown: two users with isolated identities, refreshes, exchanges and a refused theft."""
