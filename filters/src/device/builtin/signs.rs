//! What the parts of a User-Agent are signs of. [`Pattern::marked`](super::Pattern::marked) explains the marks.

use super::Signs;

macro_rules! signs {
    ($($(#[$doc:meta])* $sign:ident),* $(,)?) => {
        /// One thing that a User-Agent can tell.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Sign { $($(#[$doc])* $sign),* }
    };
}

signs! {
    /// What browsers have begun with since 1994.
    Mozilla,
    /// An engine that draws pages.
    Engine,
    /// `compatible;`, which browsers stopped to say and crawlers did not.
    Compatible,
    /// The browsers that did say it.
    OldCompatible,
    /// Where a desktop browser runs.
    Desktop,
    /// A browser that does not say Mozilla.
    OldBrowser,
    /// The word of a program that fetches.
    Crawler,
    /// `bot`.
    Bot,
    /// Names that end in it, and an address that a component put into desktops' User-Agents.
    NotBot,
    /// An address on the web: who wants to be asked.
    Contact,
    /// Apple's networking library, on phones and on desktops.
    CfNetwork,
    /// A console.
    Console,
    /// A watch, glasses.
    Wearable,
    /// A television's own words.
    Tv,
    /// The word TV alone.
    TvWord,
    /// Televisions, watches and some phones.
    Tizen,
    /// Models of boxes and sticks, which are all that an Android box says.
    BoxName,
    /// A tablet's own words.
    TabletName,
    /// The address of a mailbox, which also looks like a build's name.
    Mail,
    /// A word of a program that fetches for others, which some phones say too.
    Errand,
    /// `pad`.
    Pad,
    /// Names of phones that end in it.
    NotPad,
    /// `tab`.
    TabletWord,
    /// Models of Android tablets.
    TabletModel,
    /// Android.
    Android,
    /// The word Mobile.
    Mobile,
    /// A phone's own words.
    PhoneName,
    /// Models of Android phones.
    PhoneModel,
    /// Makers of phones, of which many make tablets too.
    Maker,
    /// Phones before Android.
    FeaturePhone,
    /// An iPad.
    Ipad,
    /// An iPhone, an iPod, or a program on one.
    Iphone,
    /// Any of Apple's that fit in a hand.
    Apple,
    /// The hints say a phone.
    HintMobile,
    /// The hints say a system of phones and no phone.
    HintTablet,
    /// The hints say a television.
    HintTv,
    /// There is a User-Agent.
    Named,
}

impl Sign {
    /// The sign as a set of one.
    pub const fn bit(self) -> Signs {
        1 << self as u8
    }
}

/// The signs' patterns, with `, ` between them.
pub const ALL: &[(Sign, &str)] = &[
    (Sign::Mozilla, "mozilla, ^opera/"),
    (Sign::Engine, "applewebkit, gecko/, like gecko, trident/, presto/, msie , khtml, netfront, opera/, goanna, servo/"),
    (Sign::Compatible, "compatible;, compatible), compatible,"),
    (
        Sign::OldCompatible,
        "msie , konqueror, haiku, webpositive, syllable, ibrowse, amiga, netfront, opera , windows phone, beos, playstation, \
         omniweb, icab, webtv, risc os, kindle, avantgo, elaine, palmos",
    ),
    (
        Sign::Desktop,
        "windows nt, windows 9, windows 2000, windows 3, windows xp, windows me, win98, win95, win9x, win32, winnt, macintosh, \
         mac_powerpc, mac os x 10, mac os x;, macos, x11;, linux i686, linux x86_64, (windows;, windows vista, windows 7, \
         windows 8, windows 10, windows 11, (x86_64), (i386), macbook, imac#, |cros , haiku, beos, amiga, morphos, os/2, \
         freebsd, openbsd, netbsd, sunos, solaris, risc os, syllable, serenityos, ubuntu;",
    ),
    (
        Sign::OldBrowser,
        "^lynx/, ^links (, ^elinks, ^w3m/, ^dillo/, ^netsurf, mosaic, ice browser, ^surf/, itunes/, microsoft office, outlook, \
         ^vlc/, libvlc, ^emacs, ibrowse, thunderbird, charon; inferno, ^sonos, sonos/, ^winamp, foobar2000, ^mpv , ^lavf/, \
         ^songbird, steam client, ^obs/, spotify/",
    ),
    (
        Sign::Crawler,
        "crawl, spider, scrap, slurp, headless, phantomjs, lighthouse, archiver, archive.org, heritrix, nutch, |wget, |curl/, \
         ^curl, libcurl, python-, |python/, urllib, aiohttp, httpx, libwww-perl, libwww/, discourse forum, discourse/, |lwp, \
         go-http, |java/#, apache-httpclient, httpclient, http client, http_client, httpunit, guzzle, axios, node-fetch, \
         undici, postman, insomnia/, httpie, scalaj, restsharp, validator, validation, facebookexternalhit, facebookcatalog, \
         externalagent, mediapartners, feedfetcher, feedburner, feedly, |rss, rss|, rss/, feed:, feeds, |feed, uptime, \
         pingdom, statuscake, site24x7, monitor, synthetic, checker, linkcheck, |checklink, scanner, |scan|, nmap, masscan, \
         zgrab, nikto, sqlmap, nuclei, openvas, acunetix, nessus, netcraft, screenshot, webthumb, favicon, unfurl, embedly, \
         iframely, extractor, fetcher, |fetch|, indexer, sniffer, grabber, downloader, copier, webcopy, httrack, sitesucker, \
         teleport, offline explorer, wordpress/, drupal, selenium, playwright, puppeteer, webdriver, cypress/, ptst/, \
         gtmetrix, catchpoint, gomezagent, thousandeyes, dareboost, datanyze, analyzer, analyser, auditor, siteaudit, \
         inspectiontool, inspector, verification, verifier, researcher, |research, webhook, |probe, probe|, health check, \
         healthcheck, health-check, health service, healthservice, search engine, searchengine, webcollage, google favicon, \
         googleother, google-, apis-google, ips-agent, chatgpt, openai, anthropic, claude-, perplexity, cohere, bytespider, \
         ai2bot, appinsights, page speed, pagespeed, imgproxy, googleweblight, burpcollaborator, whatweb, wpscan, libfetch, \
         fasthttp, reqwest, hyper/, rest-client, rest client, ruby|, securityheaders, google-safety, content scan, \
         contentscan, siteimprove, pageburst, rigor, |ichiro, adbeat, scanning, collapsify, hotjar, perl|, |php, php/, \
         perl/, jakarta, winhttp, w3c_, w3c-, jigsaw, sitemap, watchdog, certificat, |dcv, ssl labs, cloudflare, amazon-, \
         azure-, datadog, newrelic, nagios, zabbix, prometheus, grafana, kube-, elb-health, haproxy, varnish, nginx, \
         mj12, ahrefs, semrush, dotbot, yacy, ezooms, ia_archiver, wayback, bitly, bit.ly, mastodon, pleroma, misskey, \
         skypeuri, slackbot, telegrambot, vkshare, bufferbot, flipboardproxy, pinterest/0, hatena",
    ),
    (
        Sign::Errand,
        "proxy, parser, thumb, -agent|, |ping, survey, verify, preview, seo|, seo:, resolver, detector, optimizer, splash, \
         metadata, synapse, harvest, snapshot, transcoder, duplexweb, archivebox, linktiger",
    ),
    (Sign::Mail, "=@="),
    (Sign::Pad, "pad:, pad_"),
    (Sign::NotPad, "coolpad, padfone, keypad, launchpad, notepad, phonepad"),
    (Sign::Bot, "bot:, |bot, bots:, bot_, robot, -bot"),
    (Sign::NotBot, "bsalsa, cubot, |botho, |botsw"),
    (Sign::Contact, "http://, https://, http:/, www., +http, mailto, .com/, .org/, .html, .net/, .io/, =.com|, =.org|, =.ai/"),
    (
        Sign::Console,
        "playstation, nintendo, :xbox:, |psp|, dreamcast, |wii|, |wiiu, steam deck, |ouya, steamdeck, nintendobrowser, sega , \
         retroid, anbernic, powkiddy, |gpd xd",
    ),
    (
        Sign::Wearable,
        "watchos, apple watch, |watch#, galaxy watch, pixel watch, |wear os, wearos, android wear, |sm-r#, |sm-l#, fitbit, \
         google glass, |glass #, glass build, oculusbrowser, |quest #, |quest), quest pro, vr safari, |picobrowser, pico neo, \
         ticwatch, smartwatch, smart watch, sony sw2, |gear s, huawei watch, wearable, garmin/, wolvic",
    ),
    (
        Sign::Tv,
        "smart-tv, smarttv, smart tv, hbbtv, ce-html, web0s, webos.tv, webos tv, netcast, nettv, netrange, bravia, viera, \
         philipstv, toshibatp, toshiba-dtv, |dtv, inettv, opentv, webtv, googletv, google tv, android tv, androidtv, \
         android-tv, appletv, apple tv, tvos, |roku, crkey, chromecast, vidaa, vizio, smartcast, firetv, fire tv, ; aft, ^aft, \
         /aft, tivo, mibox, mi box, mitv, mi tv, tvbox, tv box, tv-box, tv stick, tvstick, tv_box, android box, set-top, \
         settop, set top box, |stb|, :stb_, stb:, |iptv, |ott|, opera tv, opr tv, |omi/, vewd, espial, antgalio, maple2, \
         maple_2, maple 2, maple;, directfb, qtembedded, lg browser, sonydtv, sonycebrowser, |kdl, dvb, |mag2#, mag 2#, \
         |mag3#, |mag4#, |mag5#, infomir, dreambox, enigma2, dune hd, freebox, livebox, |bbox, nexus player, |adt-#, \
         aquosbrowser, aquos tv, hisense_tv, ctv|, kodi/, xbmc, plex home theater, hdmi, xumo, (linux armv, (linux mips, \
         (linux sh4, (linux; armv, (linux aarch64, u; linux mips, linux sh4, blu-ray, bluray, bdplayer, bd player, videoweb, \
         boxee, fetchtv, youview, freesat, humax, technisat, sagemcom, skyq, jiostb, stbapp, |onn , onn., streaming stick, \
         streambox, iconbit movie, tvapp, |tv/,  tv browser, tv safari, sraf/, ekioh, nrdp, cobalt/, ytlr, starboard/, tpm1#, \
         philips tv, sharp tv, panasonic tv, tcl tv, atv:",
    ),
    (Sign::TvWord, "|tv|, |tv#"),
    (Sign::Tizen, "tizen"),
    (
        Sign::BoxName,
        "; mxq, ; x96, ; tx3, ; tx2, ; tx5, ; tx6, ; tx8, ; tx9, ; h96, ; t95, ; t96, ; a95x, ; hk1, ; m8s, |mbox, |mk8#, \
         |mk9#, |s905, |s912, |s802, |s805, |s812, |p281, |p212, |q201, |gxl, mecool, beelink, tanix, ugoos, minix, |neo-x, \
         |neo-u, zidoo, himedia, egreat, tronsmart, nexbox, wetek, |probox, vontar, pendoo, scishion, alfawise, sunvell, \
         bqeel, |z28, |z69, |g-box, matricom, box:, stick:, dongle, |cx-#, |mygica, |shield, |dv8#, |b860, |uhd|, |4k|, tvs|, \
         |m9c, |r69, |k1 plus, |rkm, |ebox, amlogic, |aml, |hisi, |hi37, allwinner h, projector, xgimi, ai pont, |mbx, ; m96, \
         ; n96, ; w95, magicsee, yundoo, |kivi, |jvc, vestel, |unt40#, ; b866, ; b760, ematic agt, cloudwalker, streamer, \
         led tv, |oled, |qled, |sei#, geniatech, |dtv, |iptv, nokia streaming, |kstb, |hmb#, |eltex, |rombica, |dune, |km9, \
         |km8, |km6, |km5, |km3|, rk322, rk331, rk332, rk336, rk339, |v88|",
    ),
    (
        Sign::TabletName,
        "|ipad, |kindle, silk-accelerated, playbook, touchpad, hp-tablet, |xoom, nexus 7, nexus_7, nexus 9, nexus 10, nexus7, \
         nexus10, pixel c|, pixel tablet, surface pro tablet, galaxy tab, galaxytab, mediapad, matepad, lifetab, ideatab, \
         yoga tab, android; tablet, (tablet;, wetab, shield tablet, windows nt 6.2; arm, windows nt 6.3; arm, opera tablet, \
         lumia 2520, transformer t, transformer p, eee pad, barnes & noble, |nook, |bntv, |bnrv, |kobo, samsung-gt-p#, \
         samsung-gt-n5#, samsung-gt-n8#",
    ),
    (Sign::TabletWord, "tablet, tab:, |tab, flytouch, |pad-, tab_, webtab, slatebook, |slate "),
    (
        Sign::TabletModel,
        "tablet, |sm-t#, |sm-p#, |sm-x#, |gt-p#, |gt-n5#, |gt-n8#, |sch-i800, |sch-i815, |sch-i905, |sch-i915, |sch-i925, \
         |sch-i705, |shw-m180, |shw-m380, |shw-m480, |shw-m500, |shw-m305, |sgh-t849, |sgh-t859, |sgh-t869, |sgh-t779, \
         |sgh-i987, |sgh-i957, |sgh-i497, |sgh-i467, |sph-p#, |sc-01c, |sc-02d, |sc-01d, |sc-01e, |mz5#, |mz6#, |tf#, |me17, \
         |me18, |me30, |me37, |me57, |k00#, |k01#, sgp3#, sgp4#, sgp5#, sgp6#, sgp7#, sgpt, xperia tablet, tablet z, tablet s, \
         |kf#, ; kf, |lg-v#, |vk8, |vk7, |a1-#, |a3-#, |b1-#, |b3-#, iconia, |w5#, streak 7, streak 10, streak_10, streak pro, \
         streak_pro, |venue 7, |venue 8, |venue 10, thrive, |at1#, |at2#, |at3#, |at5#, |at7-, |at10, folio, archos 7, \
         archos 8, archos 9, archos 10, archos a7, archos a1, archos5, archos7, |an7, |an8, |an9g, |an10, arnova, |tb-#, |tb#, \
         lenovo b6, lenovo b8, lenovo a1_, lenovo a1-, lenovo a1000, lenovo a2107, lenovo a3000, lenovo a3300, lenovo a3500, \
         lenovo a5500, lenovo s6000, lenovo s5000, |yt3, |yt-, |yb1-, mid#, |mid|, pmid, |midc#, |pmp#, |pmt#, |tpc, |tp-#, \
         |nid_, |tad-, |tac-, |taq-, |tm-7#, |tm-8#, |tm-9#, |qs#, |m-mp, |mp7#, |mp8#, |mp9#, |mpdc, |mpqc, |mp1#, kyros, \
         novo#, ainol, |momo#, 0gt:, 1gt:, 3gt:, 5gt:, 8gt:, 9gt:, 0gt_, 5gt_, 8gt_, |pipo, ployer, yarvik, |odys, |xenta, \
         |goclever, |hsg#, hannspree, playtab, sero 7, slate 7, slate 8, slate 10, slate7, |slate, |hs-7d, |hs-9d, |hs-10d, \
         surftab, |next#, nextbook, |pov, coby, bioniq, touch9#, |aoson, |ifive, |onda, |teclast, |chuwi, |vi10, |hi10, |hi12, \
         alldocube, ; iplay, blackview tab, |oukitel rt, doogee t, |t10|, |t20|, |t30|, ; agr-w, ; ags, ; bah, ; bzt, ; bzk, \
         ; cmr, ; jdn, ; kob, ; sht, ; vrd, ; mrx, ; scm, ; dby, ; wgr, ; btv, |ple-, |cpn-, |agm-, |21051182, |22081283, \
         |23043, ; opd#, |lifetab, |mediacom, |smartpad, smarttab, |vivotab, |bb-, |xoro, |versus, |lexibook, |skytex, \
         |proscan, |rct#, |dl#, |ns-p, |ns-1, |qmv#, |qtab, |portal, |ct1#, |ct7#, |ct8#, |ct9#, funbook, |edison, |elcano, \
         |maxwell, |curie, |pascal, |kepler, livingstone, xpress, |boox, |inkpad, pocketbook, |remarkable, fire hd, |novo, \
         aquila 0, rapax, xelio, |ieos, |pedi, |noon, |loox, |nabi, nabi2, |mfc1, |mfc2, dslide, smartq, captiva, informer, \
         clanga, |st70, |st80, |st90, |st10, |sn70, |sn10, |sn14, |plt, imagine 7, imagine 8, imagine 10, touchmate, enot-, \
         |mw07, |mw08, |ct 9, |ct 8, micromax p, ideos s7, huawei s7, |s7-, transformer, otter, |kindle, malata, |nxm#, \
         |datam#, |lencm#, |efm#, |dem#, |carlm#, |pom#, |ifqm#, |gem1#, |archm#, |asm#, |inm#, |acgm#, |ham1#, |mvm#, |adm8, \
         |stm7, |lubm, airis one, |airis s, |airis t, |airis g, |rc07, |rc08, |rc10, |rc78, |rc97, |lc07, |lc08, |lc09, |lc10, \
         |bc97, |p01m, |p01y, |p01z, |p00a, |p00c, |p008, |p022, |p023, |p024, |p027, |p028, lenovo a7600, |nt-0, |nt-1, \
         |nt-3, woxter nimbus, |pid7, |pid8, |pid9, |pa7#, |pa10, |tablo, |zania, |luna tab, |qx7, |qx8, |qx9, |qx10, pipo, \
         |max-m, |nx7, |nx8, |nx9, |nx00, prime_plus, |uno_x, |u9gts, ; m7#, ; m8#, ; m10#, ; m12b, |vox, folio 100, |opos, \
         |aeon, fusion2in1, |t-0#b, |t-10",
    ),
    (Sign::Android, "android, dalvik, |harmonyos, |adr , linux; u; 2., linux; u; 4., linux;u;, silk/"),
    (Sign::Mobile, "mobile, mobi|, |phone, iemobile, mobi/"),
    (
        Sign::PhoneName,
        "windows phone, windows ce, windows mobile, blackberry, |bb10, symbian, series60, series40, series 60, s60v, maemo, \
         meego, kaios, sailfish, |bada, firefox os, opera mini, opera mobi, ucweb, ucbrowser/, uc browser, webos/1, webos/2, \
         hpwos, palmos, palmsource, |brew, midp, j2me, |foma, series30, cldc, up.browser, up.link, obigo, teleca, |wap, wap1, \
         wap2, docomo, softbank, vodafone/, kddi, willcom, j-phone, netfront/3, polaris, openwave, blazer, zunewp, xblwp, \
         |lumia, semc, mmp/, |pre/, pixi/",
    ),
    (
        Sign::PhoneModel,
        "|gt-i#, |gt-s#, |gt-b#, |gt-c#, |gt-e#, |gt-m#, |gt-n7#, |gt-l#, |sch-, |sph-, |sgh-, |shv-, |shw-m, |sm-a#, |sm-c#, \
         |sm-e#, |sm-f#, |sm-g#, |sm-j#, |sm-m#, |sm-n#, |sm-s#, |htc, |nokia, xperia, sonyericsson, |lgm, |mot-, |moto , \
         |xt#, |mb#, |droid , droidx, |redmi, |mi #, |hm , |cph#, |rmx#, |in20, pixel #, |nexus one, nexus s, nexus 4, \
         nexus 5, nexus 6, galaxy s, galaxy n, galaxy a, coolpad, desire, sensation, incredible, |evo , wildfire, |cubot, \
         meizu, |mx#, zopo, |thl, |fly, |iq#, |jiayu, |im-a#, |pantech, |adr6, |l-0#, |so-0#, |sh-0#, |f-0#, |p-0#, |t-0#, \
         |n-0#, |sc-0#, |is#, |sol#, |shl#, |kyl#",
    ),
    (
        Sign::Maker,
        "|zte, |alcatel, |huawei, |honor, |vivo, |oppo, |oneplus, |tecno, infinix, |itel, |wiko, |doogee, |ulefone, lenovo, \
         |lg-, |lge, micromax, coolpad, gionee, karbonn, samsung, xiaomi, nokia, motorola, |sony, |meizu",
    ),
    (
        Sign::FeaturePhone,
        "^samsung, ^sec-, ^lg, ^mot-, ^nokia, ^sonyericsson, ^ericsson, ^sie-, ^siemens, ^alcatel, ^htc, ^zte, ^huawei, ^hw-, \
         ^blackberry, ^panasonic, ^sharp, ^philips, ^sagem, ^benq, ^haier, ^acer, ^audiovox, ^kyocera, ^sanyo, ^pantech, \
         ^motorola, ^palm, ^dell, ^lenovo, ^amoi, ^bird, ^tcl, ^coolpad, ^gionee, ^vodafone, ^docomo, ^kddi, ^tianyu, \
         ^k-touch, ^ktouch, ^cect, ^sprd, ^doov, ^zopo, ^spice, ^micromax, ^lava, ^karbonn, ^fly, ^g'five, ^gfive, ^nec-, \
         ^toshiba, ^i-mobile, ^imobile, ^iphone, ^i-mate, ^hp ipaq, ^hpipaq, ^juc, ^ucweb, ^iuc, ^oppo, ^vivo, ^xiaomi, \
         ^meizu, ^cricket, ^utstar, ^pg-, ^pcd, ^cdm, ^treo, ^o2 , ^orange, ^t-mobile, ^qc-, ^wap, ^jbr, ^konka, ^hisense, \
         ^mqqbrowser, ^ibrowser/mini, ^htc_, |sony, ^kwc-, device model:, fake_user_agent, series8, huawei/1, ^0huawei, \
         ^onebrowser, ^opera/9.80 (j2me, |dopod, ^asus, ^casio, ^danger, ^mitsu, ^rim, ^portalmmm, ^telit, ^vk, ^maui, \
         ^nexian, ^cross, ^sunmicro",
    ),
    (Sign::Ipad, "ipad"),
    (Sign::Iphone, "iphone, |ipod, |ios|, ios/, ios "),
    (Sign::CfNetwork, "cfnetwork"),
    (Sign::Apple, "iphone, |ipod"),
];
