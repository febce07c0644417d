"""Rewriting captions so that they no longer name some of their components."""
