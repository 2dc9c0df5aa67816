"""Small edits near a suspicious line, weighted by how often people make such fixes."""

from selfheal_engine.patch_generator.mutations.enumerating import Mutation, mutations_of

__all__ = ["Mutation", "mutations_of"]
