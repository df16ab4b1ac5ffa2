"""The training engine: trains an adapter from rows of tokens. Knows nothing of documents, prompts
or the device's runtime.

    job               what is trained, and where: the same in this process and in each of several
    events            what a training says while it runs
    validation_split  rows that are kept out of training, whole documents and questions
    dataset           the dataset, packing, shared prompts, and how rows become a batch
    sampler           which rows make which update; the same however an update is split
    memory            how much memory there is
    microbatch        rows at once and gradient checkpointing, from the memory there is; smaller
                      after it ran out
    checkpoints       which checkpoints are complete, whether the last is the end, what is kept
    loss              cross entropy over the answers' tokens alone
    isolation         the proof that rows in one sequence do not see each other
    adapter           the base in 4 bit or full, with LoRA, rsLoRA or DoRA on it
    trainer           transformers' Trainer with our sampler, loss and log
    engine            one run: plan, train, from checkpoint to checkpoint, until an adapter stands
    launch            the same in several processes, through torchrun and accelerate
    worker            one of these processes
    tracking          MLflow, Weights & Biases, TensorBoard

The trainer is transformers' own and not TRL's SFTTrainer (1.16), which is a subclass of it. What
SFTTrainer adds is data preparation, which must here be the device's own prompt, and a loss without
the logits of unsupervised tokens, which `logits_to_keep` gives as well. What it costs: `datasets`,
pandas and pyarrow (about 200 MB), adapters cast to bfloat16 under 4 bit, which a CPU with AVX2
alone multiplies 44 times slower, packing that it vouches for with flash attention only, and a
patched forward between us and the model.
"""
