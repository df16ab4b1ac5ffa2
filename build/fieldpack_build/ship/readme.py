"""README.txt: for whoever finds the stick, or is handed it, in several languages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

_TEXTS = {
    "en": (
        """What this is
  Documents of an organisation, made into an assistant that answers questions offline (Fieldpack).
  Nothing here runs by itself.
If you found it
  Please give it back to the organisation that it belongs to. Do not run what is on it.
If you were given it
  Linux, macOS:  sh install.sh
  Windows:       powershell -ExecutionPolicy Bypass -File install.ps1
  It asks you to compare this fingerprint with the one that you were given on paper or by phone,
  not with this file:
  {fingerprint}
  Afterwards:    fieldpack ask NAME "your question"      fieldpack serve NAME --open
  A newer stick: fieldpack update THIS-FOLDER
"""
    ),
    "de": (
        """Was das ist
  Dokumente einer Organisation, aufbereitet zu einem Assistenten, der ohne Netz Fragen beantwortet
  (Fieldpack). Nichts davon startet
  von selbst.
Wenn Sie es gefunden haben
  Bitte geben Sie es der Organisation zurück, der es gehört. Führen Sie nichts davon aus.
Wenn man es Ihnen gegeben hat
  Linux, macOS:  sh install.sh
  Windows:       powershell -ExecutionPolicy Bypass -File install.ps1
  Vergleichen Sie den Fingerabdruck mit dem, den Sie auf Papier oder am Telefon bekommen haben,
  nicht mit dieser Datei:
  {fingerprint}
  Danach:        fieldpack ask NAME "Ihre Frage"         fieldpack serve NAME --open
  Neuer Stick:   fieldpack update DIESER-ORDNER
"""
    ),
    "fr": (
        """Ce que c'est
  Les documents d'une organisation, préparés pour un assistant qui répond hors ligne (Fieldpack).
  Rien ne démarre tout seul.
Si vous l'avez trouvé
  Merci de le rendre à l'organisation à laquelle il appartient. N'exécutez rien de son contenu.
Si on vous l'a remis
  Linux, macOS : sh install.sh
  Windows :      powershell -ExecutionPolicy Bypass -File install.ps1
  Comparez l'empreinte avec celle reçue sur papier ou par téléphone, et non avec ce fichier :
  {fingerprint}
  Ensuite :      fieldpack ask NOM "votre question"      fieldpack serve NOM --open
  Clé suivante : fieldpack update CE-DOSSIER
"""
    ),
    "es": (
        """Qué es esto
  Documentos de una organización, preparados para un asistente que responde sin conexión
  (Fieldpack). Nada se ejecuta por sí solo.
Si lo ha encontrado
  Devuélvalo, por favor, a la organización a la que pertenece. No ejecute nada de su contenido.
Si se lo han entregado
  Linux, macOS:  sh install.sh
  Windows:       powershell -ExecutionPolicy Bypass -File install.ps1
  Compare la huella con la que recibió en papel o por teléfono, no con este archivo:
  {fingerprint}
  Después:       fieldpack ask NOMBRE "su pregunta"      fieldpack serve NOMBRE --open
  Nueva memoria: fieldpack update ESTA-CARPETA
"""
    ),
    "uk": (
        """Що це
  Документи організації, підготовлені для помічника, який відповідає на запитання без інтернету
  (Fieldpack). Нічого з цього не запускається самостійно.
Якщо ви це знайшли
  Будь ласка, поверніть це організації, якій воно належить. Не запускайте нічого з вмісту.
Якщо вам це передали
  Linux, macOS:  sh install.sh
  Windows:       powershell -ExecutionPolicy Bypass -File install.ps1
  Звірте відбиток із тим, який ви отримали на папері чи телефоном, а не з цим файлом:
  {fingerprint}
  Після цього:   fieldpack ask НАЗВА "ваше запитання"    fieldpack serve НАЗВА --open
  Новіший носій: fieldpack update ЦЯ-ПАПКА
"""
    ),
    "sk": (
        """Čo to je
  Dokumenty organizácie, pripravené pre asistenta, ktorý odpovedá na otázky bez internetu
  (Fieldpack). Nič z toho sa nespustí samo od seba.
Ak ste to našli
  Vráťte to, prosím, organizácii, ktorej to patrí. Nič z obsahu nespúšťajte.
Ak vám to odovzdali
  Linux, macOS:  sh install.sh
  Windows:       powershell -ExecutionPolicy Bypass -File install.ps1
  Porovnajte odtlačok s tým, ktorý ste dostali na papieri alebo telefonicky, nie s týmto súborom:
  {fingerprint}
  Potom:         fieldpack ask NÁZOV "vaša otázka"       fieldpack serve NÁZOV --open
  Novšie USB:    fieldpack update TENTO-PRIEČINOK
"""
    ),
}
LANGUAGES = tuple(_TEXTS)


def write_readme(folder: Path, languages: Sequence[str], fingerprint: str | None) -> None:
    """Write README.txt in these languages, in this order. `fingerprint`: of the keys, None where
    nothing is signed yet."""
    texts = [_TEXTS[language].format(fingerprint=fingerprint or "-") for language in languages]
    if not (folder / "runtime" / "windows-x86_64").is_dir():
        lines = [text.splitlines(keepends=True) for text in texts]
        texts = ["".join(line for line in text if "powershell" not in line) for text in lines]
    (folder / "README.txt").write_text(
        "\n".join(texts), encoding="utf-8-sig", newline="\r\n"
    )  # as Windows' Notepad wants it
