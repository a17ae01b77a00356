"""A Llama of a few million random weights with a tokenizer of its own: nothing is downloaded."""

import json
from pathlib import Path

VOCABULARY = 512
WINDOW = 2048
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}{% endfor %}<|assistant|>"
)


def make_model(folder: Path) -> Path:
    """Write the model; the same one every time."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    _make_tokenizer(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=2,
        num_attention_heads=4,  # a head of 64 is the smallest that vLLM has a kernel for
        num_key_value_heads=4,
        max_position_embeddings=WINDOW,
        bos_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=False,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    return folder


def _make_tokenizer(folder: Path) -> None:
    """One token for each byte, and some pairs: every text can be written, and every answer read."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<unk>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["the quick brown fox jumps over the lazy dog " * 20], trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        chat_template=CHAT_TEMPLATE,
    )
    fast.save_pretrained(folder)
    settings = folder / "tokenizer_config.json"
    told = json.loads(settings.read_text())
    settings.write_text(json.dumps({**told, "model_max_length": WINDOW}))


def make_adapter(folder: Path) -> Path:
    """Write a LoRA adapter of random weights for it, large enough to change what it says."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(1)
    rank, size = 8, 256
    weights = {
        f"base_model.model.model.layers.{layer}.self_attn.{part}_proj.lora_{half}.weight": torch.randn(
            (rank, size) if half == "A" else (size, rank), dtype=torch.bfloat16
        )
        for layer in range(2)
        for part in ("q", "v")
        for half in ("A", "B")
    }
    save_file(weights, folder / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "tiny",
        "r": rank,
        "lora_alpha": 2 * rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": ["q_proj", "v_proj"],
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder
