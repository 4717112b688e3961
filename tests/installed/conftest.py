from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
NPM = ("npm", "ci", "--no-audit", "--no-fund")
NODE = "install Node.js 20 or newer"
