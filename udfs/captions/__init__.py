"""Reading captions: lexicon, tokens, part-of-speech tags, chunks, dependency trees and the components that they mention."""
