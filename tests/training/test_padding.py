"""Texts without their padding have the same features and gradients."""

from typing import Any

import open_clip
import pytest
import torch

from training.padding import MULTIPLE, cut_padding

TEXTS = ["a cat", "a dog and two red kites on a wooden floor", "", "a bird " * 40]


def small(custom: bool, **text: Any) -> Any:
    torch.manual_seed(0)
    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "patch_size": 16, "width": 32, "layers": 1, "head_width": 16},
        "text_cfg": {"context_length": 40, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2} | text,
    }
    return (open_clip.CustomTextCLIP if custom else open_clip.CLIP)(**config)


def tokens(texts: list[str]) -> torch.Tensor:
    return open_clip.tokenize(texts, context_length=40)


@pytest.mark.parametrize("custom", [False, True])
@pytest.mark.parametrize("texts", [TEXTS[:1], TEXTS[:3], TEXTS])
def test_features_and_gradients_are_those_of_the_whole_context(custom: bool, texts: list[str]) -> None:
    whole, cut = small(custom), small(custom)
    assert cut_padding(cut)
    weights = torch.randn(len(texts), 16, generator=torch.Generator().manual_seed(1))
    results = []
    for network in (whole, cut):
        features = network.encode_text(tokens(texts), normalize=True)
        (features * weights).sum().backward()
        results.append(
            (
                features.detach(),
                {name: parameter.grad for name, parameter in network.named_parameters() if parameter.grad is not None},
            )
        )
    (features, gradients), (cut_features, cut_gradients) = results
    torch.testing.assert_close(features, cut_features, rtol=1e-5, atol=1e-6)
    assert gradients.keys() == cut_gradients.keys() and gradients
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, cut_gradients[name], rtol=1e-4, atol=1e-6, msg=name)


def test_the_transformer_gets_no_more_than_the_longest_text() -> None:
    network, lengths = small(custom=False), []
    assert cut_padding(network)
    network.transformer.register_forward_hook(lambda module, inputs, output: lengths.append(output.shape[1]))
    for texts in (TEXTS[:1], TEXTS[:2], TEXTS):
        network.encode_text(tokens(texts))
    assert lengths == [MULTIPLE, 2 * MULTIPLE, 40]


def test_an_empty_batch_and_a_direct_call_of_the_transformer_still_work() -> None:
    network = small(custom=False)
    assert cut_padding(network)
    assert network.encode_text(tokens(TEXTS)[:0]).shape == (0, 16)
    network.encode_text(tokens(TEXTS[:1]))
    output = network.transformer(torch.zeros(1, 40, 32), attn_mask=network.attn_mask)
    assert output.shape == (1, 40, 32)


@pytest.mark.parametrize("text", [{"no_causal_mask": True}, {"pool_type": "last"}, {"embed_cls": True, "output_tokens": True}])
def test_a_tower_that_attends_to_padding_is_not_changed(text: dict[str, Any]) -> None:
    network = small(custom=True, **text)
    features = torch.as_tensor(_pooled(network.encode_text(tokens(TEXTS))))
    assert not cut_padding(network)
    torch.testing.assert_close(_pooled(network.encode_text(tokens(TEXTS))), features)


def _pooled(output: Any) -> torch.Tensor:
    return output[0] if isinstance(output, tuple) else output
