"""Commands that change things: `up`, `down`, `rebuild`, and the engine that carries out their plans."""
