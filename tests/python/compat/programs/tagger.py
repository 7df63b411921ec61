"""The LSTM tagger of PyTorch's sequence-model tutorial, and packed hidden states by hand."""


def run(torch, fill):
    nn, F = torch.nn, torch.nn.functional
    training_data = [
        (["The", "dog", "ate", "the", "apple"], ["DET", "NN", "V", "DET", "NN"]),
        (["Everybody", "read", "that", "book"], ["NN", "V", "DET", "NN"]),
    ]
    word_to_ix = {}
    for sent, _ in training_data:
        for word in sent:
            word_to_ix.setdefault(word, len(word_to_ix))
    tag_to_ix = {"DET": 0, "NN": 1, "V": 2}

    def prepare_sequence(seq, to_ix):
        return torch.tensor([to_ix[w] for w in seq], dtype=torch.long)

    class LSTMTagger(nn.Module):
        def __init__(self, embedding_dim, hidden_dim, vocab_size, tagset_size):
            super().__init__()
            self.hidden_dim = hidden_dim
            self.word_embeddings = nn.Embedding(vocab_size, embedding_dim)
            self.lstm = nn.LSTM(embedding_dim, hidden_dim)
            self.hidden2tag = nn.Linear(hidden_dim, tagset_size)

        def forward(self, sentence):
            embeds = self.word_embeddings(sentence)
            lstm_out, _ = self.lstm(embeds.view(len(sentence), 1, -1))
            tag_space = self.hidden2tag(lstm_out.view(len(sentence), -1))
            return F.log_softmax(tag_space, dim=1)

    model = LSTMTagger(6, 6, len(word_to_ix), len(tag_to_ix))
    fill(model)
    loss_function = nn.NLLLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with torch.no_grad():
        first = model(prepare_sequence(training_data[0][0], word_to_ix))
    losses = first.view(-1).tolist()
    for _ in range(3):
        for sentence, tags in training_data:
            model.zero_grad()
            sentence_in = prepare_sequence(sentence, word_to_ix)
            targets = prepare_sequence(tags, tag_to_ix)
            loss = loss_function(model(sentence_in), targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    cell = nn.LSTMCell(3, 2)
    fill(cell)
    hx, cx = torch.zeros(1, 2), torch.zeros(1, 2)
    for i in range(3):
        hx, cx = cell(torch.ones(1, 3) * i, (hx, cx))
    return losses + hx.view(-1).tolist()
