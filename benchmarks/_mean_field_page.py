"""Placeholder while measuring."""


def write_page(result, folder): ...
