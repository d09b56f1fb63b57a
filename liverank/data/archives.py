"""Public data sets for `liverank data download`: where they are, what may be done with them, how to verify them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

GROUPLENS: Final = (
    "Research use; no redistribution without permission, no commercial use without permission of GroupLens, cite "
    "Harper and Konstan (2015)."
)
AMAZON: Final = (
    "The authors state no licence; the texts are Amazon's and its customers': use for research, cite Hou et al. (2024)."
)
MICROSOFT: Final = "Microsoft Research licence terms, non-commercial research; accepted on the data set's page."
AMAZON_PREFIX: Final = "amazon-2023-"
MD5_OF_GROUPLENS: Final = "GroupLens publishes this MD5 beside the archive"


@dataclass(frozen=True)
class RemoteFile:
    """One file of a data set."""

    url: str
    size: int = 0
    """Bytes; 0 where they are not known for certain."""
    checksum: str = ""
    """`md5:...` or `sha256:...`; empty where none is known."""
    checksum_from: str = ""
    """Who vouches for the checksum."""
    into: str = ""
    """Folder within the data set's that it is unpacked into."""

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.url.rsplit("/", 1)[-1].replace("%2B", "+")


@dataclass(frozen=True)
class Archive:
    """A data set as its publisher offers it."""

    name: str
    about: str
    files: tuple[RemoteFile, ...]
    licence: str
    licence_url: str
    by_hand: bool = False
    """Whether its publisher wants its terms accepted on a page, so that only a person can fetch it."""
    spreadsheets: bool = False
    """Whether its tables are Excel workbooks, which become CSV files."""

    @property
    def size(self) -> int:
        """Bytes of all files; 0 where one is unknown."""
        return sum(file.size for file in self.files) if all(file.size for file in self.files) else 0


def _movielens(name: str, about: str, size: int, md5: str, page: str) -> Archive:
    url = f"https://files.grouplens.org/datasets/movielens/{name}.zip"
    checksum = (f"md5:{md5}", MD5_OF_GROUPLENS) if md5 else ("", "")
    readme = "txt" if name in ("ml-100k", "ml-1m") else "html"
    terms = f"https://files.grouplens.org/datasets/movielens/{page or name}-README.{readme}"
    return Archive(name.replace("ml-", "movielens-"), about, (RemoteFile(url, size, *checksum),), GROUPLENS, terms)


def _amazon(category: str) -> Archive:
    base = "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_2023/raw"
    files = (f"{base}/review_categories/{category}.jsonl.gz", f"{base}/meta_categories/meta_{category}.jsonl.gz")
    about = f"Amazon reviews of 2023, {category.replace('_', ' ')}: reviews and products"
    name = f"{AMAZON_PREFIX}{category.lower().replace('_', '-')}"
    return Archive(
        name, about, tuple(RemoteFile(url) for url in files), AMAZON, "https://amazon-reviews-2023.github.io/"
    )


def _mind(size: str, parts: tuple[str, ...]) -> Archive:
    files = tuple(RemoteFile(f"https://msnews.github.io/MIND{size}_{part}.zip", into=part) for part in parts)
    about = f"MIND-{size}: impressions and clicks of Microsoft News"
    return Archive(f"mind-{size}", about, files, MICROSOFT, "https://msnews.github.io/", by_hand=True)


_CATEGORIES: Final = (
    "All_Beauty", "Amazon_Fashion", "Appliances", "Arts_Crafts_and_Sewing", "Automotive", "Baby_Products",
    "Beauty_and_Personal_Care", "Books", "CDs_and_Vinyl", "Cell_Phones_and_Accessories", "Clothing_Shoes_and_Jewelry",
    "Digital_Music", "Electronics", "Gift_Cards", "Grocery_and_Gourmet_Food", "Handmade_Products",
    "Health_and_Household", "Health_and_Personal_Care", "Home_and_Kitchen", "Industrial_and_Scientific", "Kindle_Store",
    "Magazine_Subscriptions", "Movies_and_TV", "Musical_Instruments", "Office_Products", "Patio_Lawn_and_Garden",
    "Pet_Supplies", "Software", "Sports_and_Outdoors", "Subscription_Boxes", "Tools_and_Home_Improvement",
    "Toys_and_Games", "Video_Games",
)  # fmt: skip

_RANKLENS: Final = "https://media.githubusercontent.com/media/metarank/ranklens/master/dataset"
_POINTER: Final = "the repository's Git LFS pointer"
_RANKLENS_FILES: Final = (
    RemoteFile(
        f"{_RANKLENS}/ranking.jsonl.gz",
        950_396,
        "sha256:67d25013c54d6e7911e7e4b5b6d58feab8f3d213fc80dd6bc0512939a9ffc8ba",
        _POINTER,
    ),
    RemoteFile(
        f"{_RANKLENS}/metadata.jsonl.gz",
        939_435,
        "sha256:1960a2c02400270cd03cf3b7975c4cb3dbbf9dfc251d84b83efd39933d09ecf8",
        _POINTER,
    ),
)
_UCI: Final = RemoteFile(
    "https://archive.ics.uci.edu/static/public/352/online%2Bretail.zip",
    23_715_478,
    "sha256:f5385cbb54bbebf7196389109c6b0621faab0c304e3702548165e71c84aede8b",
    "UCI publishes none; this is what independent downloads of the archive recorded",
)

ARCHIVES: Final = {
    archive.name: archive
    for archive in (
        _movielens("ml-100k", "100,000 ratings of 1,682 movies", 4_924_029, "0e33842e24a9c977be4e0107933c0723", ""),
        _movielens("ml-1m", "1,000,209 ratings of 3,900 movies", 0, "c4d9eecfca2ab87c1945afe126590906", ""),
        _movielens("ml-10m", "10,000,054 ratings of 10,681 movies", 0, "ce571fd55effeba0271552578f2648bd", "ml-10m"),
        _movielens("ml-20m", "20,000,263 ratings", 198_702_078, "cd245b17a1ae2cc31bb14903e1204af3", ""),
        _movielens("ml-25m", "25,000,095 ratings", 261_978_986, "6b51fb2759a8657d3bfcbfc42b592ada", ""),
        _movielens("ml-32m", "32,000,204 ratings", 238_950_008, "d472be332d4daa821edc399621853b57", ""),
        _movielens("ml-latest-small", "about 100,000 recent ratings; changes over time", 0, "", ""),
        Archive(
            "uci-online-retail",
            "UCI Online Retail: a year of a shop's invoices, 541,909 lines",
            (_UCI,),
            "CC BY 4.0; cite D. Chen (2015), Online Retail, doi.org/10.24432/C5BW33.",
            "https://creativecommons.org/licenses/by/4.0/",
            spreadsheets=True,
        ),
        Archive(
            "ranklens",
            "RankLens: 2,100 people's likes of shown movies, with texts",
            _RANKLENS_FILES,
            "CC BY-SA 4.0.",
            "https://github.com/metarank/ranklens/blob/master/LICENSE.md",
        ),
        _mind("small", ("train", "dev")),
        _mind("large", ("train", "dev", "test")),
        *(_amazon(category) for category in _CATEGORIES),
    )
}
"""Name -> data set."""
